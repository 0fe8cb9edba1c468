// Package web is how every boardroom agent speaks HTTP, as a server and as a client.
//
// A [Site] serves a fixed table of exact paths: nothing is redirected, cleaned or guessed, unknown paths and methods are
// refused in JSON, a panic in one handler costs one request, and a request leaves one log line that names its route and
// never its query, body or headers. [Serve] puts sites on listeners with every deadline set and drains them on the way out.
// [NewClient] calls others without proxies from the environment and without following redirects.
//
// Errors have the form of the OpenAI API, {"error":{"message","type","code"}}, because that is what the clients of a model
// endpoint already understand. The code is stable; the message is for people.
package web
