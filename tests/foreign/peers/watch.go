package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// module holds the documents, as the module cache has it.
const module = "github.com/equinix/equinix-sdk-go"

// endpoints are the variables that lead a command to Equinix.
var endpoints = []string{"EQUINIX_API_ENDPOINT", "EQUINIX_STS_ENDPOINT"}

// verdict is what the documents say of a request and its answer. What fits has no text.
type verdict struct {
	Method   string `json:"method"`
	Path     string `json:"path"`
	Status   int    `json:"status"`
	Request  string `json:"request,omitempty"`
	Security string `json:"security,omitempty"`
	Response string `json:"response,omitempty"`
}

// judge holds the documents and what was seen.
type judge struct {
	documents []routers.Router
	mutex     sync.Mutex
	report    *os.File
}

// load reads the documents from the module cache.
func load() ([]routers.Router, error) {
	// Of the module's version in go.mod, next to which install.sh has built this program.
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	folder, err := os.ReadFile(program + ".documents")
	if err != nil {
		return nil, err
	}
	var documents []routers.Router
	for _, service := range []string{"accesstokenv1", "stsv1alpha"} {
		path := filepath.Join(strings.TrimSpace(string(folder)), "spec/services", service, "oas3.patched/openapi.yaml")
		document, err := openapi3.NewLoader().LoadFromFile(path)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", service, module, err)
		}
		// Otherwise only requests to Equinix's own hosts would be known.
		document.Servers = nil
		router, err := gorillamux.NewRouter(document)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", service, module, err)
		}
		documents = append(documents, router)
	}
	return documents, nil
}

// watch runs a command behind the validator, and writes a verdict a line into the report.
func watch(path string, command []string) error {
	documents, err := load()
	if err != nil {
		return err
	}
	report, err := os.Create(path)
	if err != nil {
		return err
	}
	defer report.Close()
	judge := &judge{documents: documents, report: report}
	child := exec.Command(command[0], command[1:]...)
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.Env = os.Environ()
	for _, name := range endpoints {
		upstream := os.Getenv(name)
		if upstream == "" {
			continue
		}
		target, err := url.Parse(upstream)
		if err != nil {
			return err
		}
		proxy := httputil.NewSingleHostReverseProxy(target)
		server := httptest.NewServer(judge.before(proxy))
		defer server.Close()
		child.Env = append(child.Env, name+"="+server.URL)
	}
	err = child.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		report.Close()
		os.Exit(exit.ExitCode())
	}
	return err
}

// before judges each request and its answer, and passes both on unchanged.
func (j *judge) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadGateway)
			return
		}
		found := j.request(request, body)
		request.Body = io.NopCloser(bytes.NewReader(body))
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, request)
		found.respond(recorder)
		j.write(found.verdict)
		for name, values := range recorder.Header() {
			writer.Header()[name] = values
		}
		writer.WriteHeader(recorder.Code)
		_, _ = writer.Write(recorder.Body.Bytes())
	})
}

// judged is a request whose answer is still to come.
type judged struct {
	verdict
	input *openapi3filter.RequestValidationInput
}

func (j *judge) request(request *http.Request, body []byte) *judged {
	found := &judged{verdict: verdict{Method: request.Method, Path: request.URL.Path}}
	var route *routers.Route
	var err error
	for _, document := range j.documents {
		if route, _, err = document.FindRoute(request); err == nil {
			break
		}
	}
	if err != nil {
		found.Request = err.Error()
		return found
	}
	copied := request.Clone(context.Background())
	copied.Body = io.NopCloser(bytes.NewReader(body))
	found.input = &openapi3filter.RequestValidationInput{
		Request: copied,
		Route:   route,
		Options: &openapi3filter.Options{
			AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc,
			IncludeResponseStatus: true,
			MultiError:            true,
			SkipSettingDefaults:   true,
		},
	}
	found.Request = text(openapi3filter.ValidateRequest(copied.Context(), found.input))
	if route.Spec.Security != nil {
		// Apart from the rest, since token exchange does without on purpose.
		input := *found.input
		input.Options = &openapi3filter.Options{AuthenticationFunc: bearer}
		found.Security = text(openapi3filter.ValidateSecurityRequirements(copied.Context(), &input, route.Spec.Security))
	}
	return found
}

func bearer(_ context.Context, input *openapi3filter.AuthenticationInput) error {
	header := input.RequestValidationInput.Request.Header.Get("Authorization")
	if input.SecurityScheme.Scheme != "bearer" || !strings.HasPrefix(header, "Bearer ") {
		return errors.New("there is no bearer token")
	}
	return nil
}

func (found *judged) respond(recorder *httptest.ResponseRecorder) {
	found.Status = recorder.Code
	if found.input == nil {
		return
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: found.input,
		Status:                 recorder.Code,
		Header:                 recorder.Header(),
		Options:                found.input.Options,
	}
	answer.SetBodyBytes(recorder.Body.Bytes())
	found.Response = text(openapi3filter.ValidateResponse(context.Background(), answer))
}

func (j *judge) write(found verdict) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	_ = json.NewEncoder(j.report).Encode(found)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// send sends a request as it is, to see that the validator refuses something.
func send(method, url, contentType, body string) error {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
