package main

import (
	"context"

	"google.golang.org/grpc"
)

// frame is a message that stays bytes.
type frame struct{ bytes []byte }

// frames is a codec that hands on what it gets. On the wire it is not to be told from protobuf.
type frames struct{}

func (frames) Marshal(v interface{}) ([]byte, error) { return v.(*frame).bytes, nil }

func (frames) Unmarshal(data []byte, v interface{}) error {
	v.(*frame).bytes = data
	return nil
}

func (frames) Name() string   { return "proto" }
func (frames) String() string { return "proto" }

const (
	unaryPath = "/echo.Echo/Unary"
	chatPath  = "/echo.Echo/Chat"
)

var chatDescription = grpc.StreamDesc{
	StreamName:    "Chat",
	Handler:       chatBytes,
	ServerStreams: true,
	ClientStreams: true,
}

// What protoc-gen-go writes for a service, for frames.
var bytesDescription = grpc.ServiceDesc{
	ServiceName: "echo.Echo",
	HandlerType: (*interface{})(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unaryBytes}},
	Streams:     []grpc.StreamDesc{chatDescription},
}

func unaryBytes(_ interface{}, _ context.Context, decode func(interface{}) error,
	_ grpc.UnaryServerInterceptor) (interface{}, error) {
	message := new(frame)
	if err := decode(message); err != nil {
		return nil, err
	}
	return message, nil
}

func chatBytes(_ interface{}, stream grpc.ServerStream) error {
	return chat(stream, new(frame))
}
