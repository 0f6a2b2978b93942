package egress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echoService is a gRPC service made without generated code.
var echoService = grpc.ServiceDesc{
	ServiceName: "test.Echo", HandlerType: (*any)(nil),
	Streams: []grpc.StreamDesc{{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: chat}},
	Methods: []grpc.MethodDesc{{MethodName: "Once", Handler: once}},
}

func once(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.StringValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	if in.Value == "fail" {
		return nil, status.Error(codes.FailedPrecondition, "as asked: ü")
	}
	grpc.SetTrailer(ctx, metadata.Pairs("seen", fmt.Sprint(len(in.Value))))
	return in, nil
}

// chat answers every message before it reads the next.
func chat(_ any, s grpc.ServerStream) error {
	for {
		in := new(wrapperspb.StringValue)
		switch err := s.RecvMsg(in); {
		case errors.Is(err, io.EOF):
			s.SetTrailer(metadata.Pairs("end", "true"))
			return nil
		case err != nil:
			return err
		case in.Value == "bye":
			return nil // although the client has not ended its side
		}
		if err := s.SendMsg(wrapperspb.String("re: " + in.Value)); err != nil {
			return err
		}
	}
}

func TestGRPC(t *testing.T) {
	root := proxytest.NewCA(t, "root")
	cert := root.Issue(t, nil, nil, "grpc.test")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	server.RegisterService(&echoService, nil)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	tn := proxytest.Start(t, proxytest.Setup{Rules: policy.Rules{Deny: []string{"grpc.test/test.Echo/Forbidden"}}, Roots: root.Pool(), ConnectTo: map[string]string{"grpc.test:443": l.Addr().String()}})
	t.Setenv("HTTPS_PROXY", tn.URL.String()) // grpc-go reads it itself
	conn, err := grpc.NewClient("passthrough:///grpc.test:443", grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(tn.Roots, "")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	t.Run("unary with trailers", func(t *testing.T) {
		out, trailer := new(wrapperspb.StringValue), metadata.MD{}
		big := strings.Repeat("x", 1<<20)
		if err := conn.Invoke(ctx, "/test.Echo/Once", wrapperspb.String(big), out, grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		if out.Value != big || trailer.Get("seen")[0] != "1048576" {
			t.Errorf("%d bytes back, trailer %v", len(out.Value), trailer)
		}
	})
	t.Run("an error arrives as it was sent", func(t *testing.T) {
		err := conn.Invoke(ctx, "/test.Echo/Once", wrapperspb.String("fail"), new(wrapperspb.StringValue))
		if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "as asked: ü" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the server ends while the client's side is open", func(t *testing.T) {
		for range 20 {
			stream, err := conn.NewStream(ctx, &echoService.Streams[0], "/test.Echo/Chat")
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.SendMsg(wrapperspb.String("bye")); err != nil {
				t.Fatal(err)
			}
			if err := stream.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			// This one is answered before anything of it is read.
			if stream, err = conn.NewStream(ctx, &echoService.Streams[0], "/test.Echo/Unknown"); err != nil {
				t.Fatal(err)
			}
			stream.SendMsg(wrapperspb.String("x"))
			if err := stream.RecvMsg(new(wrapperspb.StringValue)); status.Code(err) != codes.Unimplemented {
				t.Fatal(err)
			}
		}
	})
	t.Run("a call that the policy refuses", func(t *testing.T) {
		err := conn.Invoke(ctx, "/test.Echo/Forbidden", wrapperspb.String("x"), new(wrapperspb.StringValue))
		s := status.Convert(err)
		if s.Code() != codes.PermissionDenied || !strings.Contains(s.Message(), `POST /test.Echo/Forbidden on grpc.test:443 is denied by the rule deny "grpc.test/test.Echo/Forbidden"`) {
			t.Errorf("got %v", err)
		}
		if conn.GetState() != connectivity.Ready {
			t.Errorf("the connection is %v", conn.GetState())
		}
	})
	t.Run("a conversation", func(t *testing.T) {
		stream, err := conn.NewStream(ctx, &echoService.Streams[0], "/test.Echo/Chat")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			in, out := fmt.Sprint(i), new(wrapperspb.StringValue)
			if err := stream.SendMsg(wrapperspb.String(in)); err != nil {
				t.Fatal(err)
			}
			if err := stream.RecvMsg(out); err != nil || out.Value != "re: "+in {
				t.Fatalf("got %q, %v", out.Value, err)
			}
		}
		stream.CloseSend()
		if err := stream.RecvMsg(new(wrapperspb.StringValue)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the end", err)
		}
		if stream.Trailer().Get("end") == nil {
			t.Errorf("trailer %v", stream.Trailer())
		}
	})
}
