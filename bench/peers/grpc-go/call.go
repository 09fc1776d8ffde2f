package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"echo"

	"github.com/golang/protobuf/proto"
	"google.golang.org/grpc"
)

// run is what all calls share.
type run struct {
	latencies histogram
	failures  uint64
	measuring uint32
	stopping  uint32
	callers   sync.WaitGroup
}

// replied tells what became of a message that was sent at start, and whether to send another.
func (r *run) replied(start, end time.Time, right bool) bool {
	if !right {
		atomic.AddUint64(&r.failures, 1)
		return false
	}
	if atomic.LoadUint32(&r.measuring) == 1 {
		r.latencies.add(uint64(end.Sub(start)))
	}
	return atomic.LoadUint32(&r.stopping) == 0
}

// noteOf makes a note whose encoding has exactly so many bytes.
func noteOf(size int) *echo.Note {
	for overhead := 5; overhead <= 8 && overhead < size; overhead++ {
		note := &echo.Note{Id: 12345, Text: strings.Repeat("x", size-overhead)}
		if proto.Size(note) == size {
			return note
		}
	}
	refuse("--size %d: no message has this size", size)
	return nil
}

// codec is how messages are made and checked.
type codec struct {
	request interface{}
	reply   func() interface{}
	isEcho  func(reply interface{}) bool
	options []grpc.CallOption
}

func typedCodec(size int) codec {
	sent := noteOf(size)
	return codec{
		request: sent,
		reply:   func() interface{} { return new(echo.Note) },
		isEcho: func(reply interface{}) bool {
			note := reply.(*echo.Note)
			return note.Id == sent.Id && len(note.Text) == len(sent.Text) &&
				strings.HasPrefix(note.Text, sent.Text[:min(8, len(sent.Text))])
		},
	}
}

func bytesCodec(size int) codec {
	sent, _ := proto.Marshal(noteOf(size))
	return codec{
		request: &frame{sent},
		reply:   func() interface{} { return new(frame) },
		isEcho: func(reply interface{}) bool {
			got := reply.(*frame).bytes
			return len(got) == len(sent) && bytes.HasPrefix(got, sent[:min(8, len(sent))])
		},
		options: []grpc.CallOption{grpc.ForceCodec(frames{})},
	}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

// callUnary makes one call after the other.
func callUnary(r *run, connection *grpc.ClientConn, c codec) {
	reply := c.reply()
	for start := time.Now(); ; {
		err := connection.Invoke(context.Background(), unaryPath, c.request, reply, c.options...)
		end := time.Now()
		if !r.replied(start, end, err == nil && c.isEcho(reply)) {
			return
		}
		start = end
	}
}

// callChat sends one message after the other, on one stream.
func callChat(r *run, connection *grpc.ClientConn, c codec) {
	reply := c.reply()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := connection.NewStream(ctx, &chatDescription, chatPath, c.options...)
	if err != nil {
		r.replied(time.Time{}, time.Time{}, false)
		return
	}
	for start := time.Now(); ; {
		err := stream.SendMsg(c.request)
		if err == nil {
			err = stream.RecvMsg(reply)
		}
		end := time.Now()
		if !r.replied(start, end, err == nil && c.isEcho(reply)) {
			stream.CloseSend()
			return
		}
		start = end
	}
}

func cpu() uint64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return uint64(usage.Utime.Nano()+usage.Stime.Nano()) / 1000
}

func (r *run) start(o options) {
	c, caller := typedCodec(o.size), callUnary
	if o.codec == "bytes" {
		c = bytesCodec(o.size)
	}
	if o.kind == "chat" {
		caller = callChat
	}
	for i := 0; i < o.connections; i++ {
		target := net.JoinHostPort(o.address, strconv.Itoa(o.port))
		connection, err := grpc.Dial(target, grpc.WithInsecure())
		if err != nil {
			refuse("%v", err)
		}
		for j := 0; j < o.streams; j++ {
			r.callers.Add(1)
			go func() {
				defer r.callers.Done()
				caller(r, connection, c)
			}()
		}
	}
}

func call(o options) {
	r := new(run)
	r.start(o)
	all := make(chan struct{})
	go func() {
		r.callers.Wait()
		close(all)
	}()
	wait := func(s float64) {
		select {
		case <-all:
		case <-time.After(seconds(s)):
		}
	}

	wait(o.warmup)
	start, before := time.Now(), cpu()
	atomic.StoreUint32(&r.measuring, 1)
	wait(o.seconds)
	atomic.StoreUint32(&r.measuring, 0)
	used, took := cpu()-before, time.Since(start)

	atomic.StoreUint32(&r.stopping, 1)
	<-all
	r.report(used, took)
}

func (r *run) report(cpu uint64, took time.Duration) {
	l := &r.latencies
	fmt.Printf(`{"requests": %d, "failures": %d, "seconds": %.6f, "cpu_us": %d, `+
		`"p50_us": %.2f, "p99_us": %.2f, "p999_us": %.2f, "max_us": %.2f}`+"\n",
		l.count(), r.failures, took.Seconds(), cpu,
		l.quantile(0.5), l.quantile(0.99), l.quantile(0.999), float64(l.max)/1e3)
	if r.failures > 0 {
		os.Exit(1)
	}
}
