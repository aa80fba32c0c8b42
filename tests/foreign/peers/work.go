package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// timeout is the provider's request_timeout. An exchange counts against it.
const timeout = 30 * time.Second

// pause is what a source waits for between two requests.
const pause = 250 * time.Millisecond

// account is what came of it all. Statuses are the API's answers, Errors what there was instead of one.
type account struct {
	Exchanges int         `json:"exchanges"`
	Statuses  map[int]int `json:"statuses"`
	Errors    []string    `json:"errors,omitempty"`
	mutex     sync.Mutex
}

// exchange is a token source as Equinix's Terraform provider has it: the subject token is read from the environment, and
// exchanged each time a token is wanted.
type exchange struct{ account *account }

func (e exchange) Token() (*oauth2.Token, error) {
	args := []string{os.Getenv("EQUINIX_TOKEN_EXCHANGE_SCOPE"), os.Getenv("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN")}
	result, err := clients["sts-exchange"](os.Getenv("EQUINIX_STS_ENDPOINT"), args)
	if err != nil {
		return nil, err
	}
	e.account.mutex.Lock()
	defer e.account.mutex.Unlock()
	e.account.Exchanges++
	expiry := time.Now().Add(time.Duration(*result.ExpiresIn) * time.Second)
	return &oauth2.Token{AccessToken: result.Token, TokenType: "Bearer", Expiry: expiry}, nil
}

// work lets so many sources ask an API at the same time for so long, and prints what came of it.
func work(api, sources, span string) error {
	var count int
	if _, err := fmt.Sscan(sources, &count); err != nil {
		return err
	}
	duration, err := time.ParseDuration(span)
	if err != nil {
		return err
	}
	end := time.Now().Add(duration)
	account := &account{Statuses: map[int]int{}}
	var group sync.WaitGroup
	for range count {
		group.Add(1)
		go func() {
			defer group.Done()
			// A token is used again until ten seconds are left of it.
			source := oauth2.ReuseTokenSource(nil, exchange{account})
			client := &http.Client{Transport: &oauth2.Transport{Source: source}, Timeout: timeout}
			for time.Now().Before(end) {
				account.note(client.Get(api))
				time.Sleep(pause)
			}
		}()
	}
	group.Wait()
	return json.NewEncoder(os.Stdout).Encode(account)
}

func (a *account) note(response *http.Response, err error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if err != nil {
		a.Errors = append(a.Errors, err.Error())
		return
	}
	a.Statuses[response.StatusCode]++
	// What is read to its end leaves the connection to the next request.
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
}
