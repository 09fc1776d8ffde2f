package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"echo"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

type typedEcho struct{}

func (typedEcho) Unary(_ context.Context, note *echo.Note) (*echo.Note, error) {
	return note, nil
}

func (typedEcho) Chat(stream echo.Echo_ChatServer) error {
	return chat(stream, new(echo.Note))
}

func (typedEcho) List(request *echo.Note, stream echo.Echo_ListServer) error {
	for i := uint64(0); i < request.Id; i++ {
		if err := stream.Send(request); err != nil {
			return err
		}
	}
	return nil
}

// chat answers each message, all in the same place, until the client has no more.
func chat(stream grpc.ServerStream, message interface{}) error {
	for {
		if err := stream.RecvMsg(message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(message); err != nil {
			return err
		}
	}
}

func serverOptions(o options) []grpc.ServerOption {
	var list []grpc.ServerOption
	if o.codec == "bytes" {
		list = append(list, grpc.CustomCodec(frames{}))
	}
	if o.certificate != "" {
		tls, err := credentials.NewServerTLSFromFile(o.certificate, o.key)
		if err != nil {
			refuse("--tls: %v", err)
		}
		list = append(list, grpc.Creds(tls))
	}
	return list
}

func serve(o options) {
	runtime.GOMAXPROCS(o.loops)
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)

	server := grpc.NewServer(serverOptions(o)...)
	if o.codec == "bytes" {
		server.RegisterService(&bytesDescription, nil)
	} else {
		echo.RegisterEchoServer(server, typedEcho{})
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(o.address, strconv.Itoa(o.port)))
	if err != nil {
		fmt.Fprintf(os.Stderr, "grpc-go: %v\n", err)
		os.Exit(1)
	}
	go server.Serve(listener)
	fmt.Printf("ready %d\n", listener.Addr().(*net.TCPAddr).Port)

	<-ends
	server.Stop()
}
