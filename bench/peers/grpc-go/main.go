// The echo service and a load for it on grpc-go.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"google.golang.org/grpc"
)

type options struct {
	address string
	port    int
	codec   string

	loops       int
	certificate string
	key         string

	kind        string
	connections int
	streams     int
	seconds     float64
	warmup      float64
	size        int
}

// refuse says what is wrong with the command line and ends with status 2: the caller skips what it
// asked.
func refuse(why string, values ...interface{}) {
	fmt.Fprintf(os.Stderr, "grpc-go: "+why+"\n", values...)
	os.Exit(2)
}

func read(command string, words []string) options {
	o := options{address: "127.0.0.1"}
	flags := flag.NewFlagSet("grpc-go", flag.ExitOnError)
	flags.IntVar(&o.port, "port", 0, "where the server listens, 0: a free one")
	flags.StringVar(&o.codec, "codec", "protobuf", "bytes or protobuf")
	if command == "serve" {
		flags.StringVar(&o.address, "address", o.address, "where to listen")
		flags.IntVar(&o.loops, "loops", 1, "processors that run Go code at once")
		flags.StringVar(&o.certificate, "tls", "", "certificate and key, two files")
	} else {
		flags.StringVar(&o.kind, "kind", "unary", "unary or chat")
		flags.IntVar(&o.connections, "connections", 1, "connections")
		flags.IntVar(&o.streams, "streams", 1, "calls in flight on each connection")
		flags.Float64Var(&o.seconds, "seconds", 5, "time that is measured")
		flags.Float64Var(&o.warmup, "warmup", 1, "time before it")
		flags.IntVar(&o.size, "size", 32, "bytes of an encoded message")
	}
	flags.Parse(words)
	// --tls has two values, and the parser stops at the second.
	if flags.NArg() > 0 && o.certificate != "" {
		o.key = flags.Arg(0)
		flags.Parse(flags.Args()[1:])
	}
	if flags.NArg() > 0 {
		refuse("%s: not supported", flags.Arg(0))
	}
	check(command, o)
	return o
}

func check(command string, o options) {
	if o.codec != "bytes" && o.codec != "protobuf" {
		refuse("--codec %s: not supported", o.codec)
	}
	if o.port < 0 || o.port > 65535 {
		refuse("--port %d: not supported", o.port)
	}
	if command == "serve" {
		if o.loops < 1 {
			refuse("--loops %d: not supported", o.loops)
		}
		if o.certificate != "" && o.key == "" {
			refuse("--tls needs two values")
		}
		return
	}
	if o.kind != "unary" && o.kind != "chat" {
		refuse("--kind %s: not supported", o.kind)
	}
	if o.port == 0 {
		refuse("--port is missing")
	}
	if o.connections < 1 || o.streams < 1 || o.seconds <= 0 || o.warmup < 0 {
		refuse("--connections, --streams, --seconds and --warmup are positive")
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func main() {
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "version":
		fmt.Printf("grpc-go %s (%s)\n", grpc.Version, runtime.Version())
	case "serve":
		serve(read(command, os.Args[2:]))
	case "call":
		call(read(command, os.Args[2:]))
	default:
		refuse("serve, call or version?")
	}
}
