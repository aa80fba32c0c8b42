package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/equinix/equinix-sdk-go/extensions/equinixoauth2"
	"github.com/equinix/equinix-sdk-go/services/accesstokenv1"
	"github.com/equinix/equinix-sdk-go/services/stsv1alpha"
	legacy "github.com/equinix/oauth2-go"
)

// answer is what a client read. A token without an end has no ExpiresIn.
type answer struct {
	Token        string `json:"token,omitempty"`
	ExpiresIn    *int64 `json:"expires_in,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Error        string `json:"error,omitempty"`
}

// clients are Equinix's, by the name that the tests use.
var clients = map[string]func(url string, args []string) (answer, error){
	// What the Terraform provider logs in with.
	"sdk": func(url string, args []string) (answer, error) {
		config := equinixoauth2.Config{ClientID: args[0], ClientSecret: args[1], BaseURL: url}
		token, err := config.TokenSource().TokenWithContext(context.Background())
		if err != nil {
			return answer{}, err
		}
		return answer{token.AccessToken, left(token.Expiry), token.RefreshToken, ""}, nil
	},
	// What it logged in with before.
	"legacy": func(url string, args []string) (answer, error) {
		config := legacy.Config{ClientID: args[0], ClientSecret: args[1], BaseURL: url}
		token, err := config.TokenSource(context.Background(), nil).Token()
		if err != nil {
			return answer{}, err
		}
		return answer{token.AccessToken, left(token.Expiry), token.RefreshToken, ""}, nil
	},
	"password": func(url string, args []string) (answer, error) {
		request := accesstokenv1.Oauth2TokenRequest{
			GrantType: &[]string{"password"}[0],
			ClientId:  args[0], ClientSecret: args[1], UserName: &args[2], UserPassword: &args[3],
		}
		if len(args) > 4 {
			request.PasswordEncoding = &args[4]
		}
		api := classic(url).OAuth2TokenApi
		result, _, err := api.GetOAuth2AccessToken(context.Background()).Payload(request).Execute()
		return read(result, err)
	},
	"refresh": func(url string, args []string) (answer, error) {
		request := accesstokenv1.Oauth2RefreshTokenRequest{
			ClientId: args[0], ClientSecret: args[1], RefreshToken: args[2],
		}
		api := classic(url).OAuth2TokenApi
		result, _, err := api.RefreshOAuth2AccessToken(context.Background()).Payload(request).Execute()
		return read(result, err)
	},
	"sts-exchange": func(url string, args []string) (answer, error) {
		request := sts(url).UseTokenPost(context.Background()).
			GrantType(stsv1alpha.USETOKENPOSTREQUESTGRANTTYPE_URN_IETF_PARAMS_OAUTH_GRANT_TYPE_TOKEN_EXCHANGE).
			SubjectTokenType(stsv1alpha.USETOKENPOSTREQUESTSUBJECTTOKENTYPE_URN_IETF_PARAMS_OAUTH_TOKEN_TYPE_ID_TOKEN).
			Scope(args[0]).SubjectToken(args[1])
		return exchanged(request)
	},
	"sts-client-credentials": func(url string, args []string) (answer, error) {
		ctx := context.WithValue(context.Background(), stsv1alpha.ContextAccessToken, args[1])
		request := sts(url).UseTokenPost(ctx).
			GrantType(stsv1alpha.USETOKENPOSTREQUESTGRANTTYPE_CLIENT_CREDENTIALS).
			Scope(args[0])
		return exchanged(request)
	},
}

// ask lets a client ask, and prints what it read.
func ask(client, url string, args []string) error {
	call, known := clients[client]
	if !known {
		return fmt.Errorf("there is no client %q", client)
	}
	result, err := call(url, args)
	if err != nil {
		result.Error = err.Error()
		if result.Error == "" {
			result.Error = "an error without a text"
		}
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func left(expiry time.Time) *int64 {
	if expiry.IsZero() {
		return nil
	}
	seconds := int64(math.Round(time.Until(expiry).Seconds()))
	return &seconds
}

func classic(url string) *accesstokenv1.APIClient {
	config := accesstokenv1.NewConfiguration()
	config.Servers = accesstokenv1.ServerConfigurations{{URL: url}}
	return accesstokenv1.NewAPIClient(config)
}

func read(result *accesstokenv1.Oauth2TokenResponse, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return answer{Token: result.AccessToken, RefreshToken: result.GetRefreshToken()}, nil
}

func sts(url string) *stsv1alpha.UseApiService {
	config := stsv1alpha.NewConfiguration()
	config.Servers = stsv1alpha.ServerConfigurations{{URL: url}}
	return stsv1alpha.NewAPIClient(config).UseApi
}

func exchanged(request stsv1alpha.ApiUseTokenPostRequest) (answer, error) {
	result, _, err := request.Execute()
	if err != nil {
		return answer{}, err
	}
	if result == nil {
		return answer{}, errors.New("no answer and no error")
	}
	seconds := int64(result.ExpiresIn)
	return answer{Token: result.AccessToken, ExpiresIn: &seconds}, nil
}
