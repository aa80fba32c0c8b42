// Command buildkite-agent plays the two commands of Buildkite's agent that make an ID token and hide a value, and the
// server that a job is given. It is made of the agent's own packages: the agent as a whole needs much more than they do.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/buildkite/agent/v3/api"
	"github.com/buildkite/agent/v3/env"
	"github.com/buildkite/agent/v3/jobapi"
	"github.com/buildkite/agent/v3/logger"
	"github.com/buildkite/agent/v3/version"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fatal:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "version":
		fmt.Println(version.Version())
		return nil
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1])
	case len(args) >= 2 && args[0] == "oidc" && args[1] == "request-token":
		return requestToken(ctx, args[2:])
	case len(args) == 2 && args[0] == "redactor" && args[1] == "add":
		return addRedaction(ctx)
	}
	return errors.New("no such command")
}

// requestToken does what clicommand/oidc_request_token.go does, but for the retries: it hides the token before it prints it.
func requestToken(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("request-token", flag.ContinueOnError)
	audience := flags.String("audience", "", "the audience")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("more arguments than expected: %q", flags.Args())
	}
	client := api.NewClient(logger.Discard, api.Config{
		Endpoint:     os.Getenv("BUILDKITE_AGENT_ENDPOINT"),
		Token:        os.Getenv("BUILDKITE_AGENT_ACCESS_TOKEN"),
		DisableHTTP2: os.Getenv("BUILDKITE_NO_HTTP2") == "true",
	})
	token, _, err := client.OIDCToken(ctx, &api.OIDCTokenRequest{
		Job:          os.Getenv("BUILDKITE_JOB_ID"),
		Audience:     *audience,
		SubjectClaim: os.Getenv("BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM"),
	})
	if err != nil {
		return fmt.Errorf("could not obtain OIDC token for audience %s: %w", *audience, err)
	}
	if err := hide(ctx, token.Token); err != nil {
		return err
	}
	fmt.Println(token.Token)
	return nil
}

// addRedaction does what clicommand/redactor_add.go does with standard input.
func addRedaction(ctx context.Context) error {
	secret, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	return hide(ctx, strings.TrimSpace(string(secret)))
}

// hide tells the job's server to hide a value, and notes the digest of what the server says that it hides.
func hide(ctx context.Context, secret string) error {
	client, err := jobapi.NewDefaultClient(ctx)
	if err != nil {
		return fmt.Errorf("failed to create Job API client: %w", err)
	}
	hidden, err := client.RedactionCreate(ctx, secret)
	if err != nil {
		return err
	}
	notes, err := os.OpenFile(os.Getenv("BUILDKITE_NOTES"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(notes, "%x\n", sha256.Sum256([]byte(hidden)))
	return errors.Join(err, notes.Close())
}

// serve is the server on a socket that the agent starts for every job. The first line that it prints is the bearer for it.
func serve(socket string) error {
	server, token, err := newServer(jobapi.NewServer, socket, env.New())
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	fmt.Println(token)
	end := make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	<-end
	return server.Stop()
}

// newServer calls the agent's function with values of types that have no name outside of the agent: the compiler infers them.
func newServer[L, E, R, O, S any](
	call func(L, string, E, *R, ...O) (S, string, error), socket string, environ E,
) (server S, token string, err error) {
	log, ok := any(quiet{os.Stderr}).(L)
	if !ok {
		return server, "", errors.New("the server's logger has other methods now")
	}
	return call(log, socket, environ, new(R))
}

// quiet is the server's logger.
type quiet struct{ io.Writer }

func (quiet) Commentf(string, ...any)                 {}
func (quiet) Headerf(string, ...any)                  {}
func (quiet) Printf(string, ...any)                   {}
func (quiet) Promptf(string, ...any)                  {}
func (quiet) OptionalWarningf(string, string, ...any) {}
func (log quiet) Errorf(format string, args ...any)   { fmt.Fprintf(log, format+"\n", args...) }
func (log quiet) Warningf(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) }
