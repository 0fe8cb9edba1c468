// Package public is what a guest tells everybody, on port 8090: a page about the application, the logs of its containers, and metrics, each
// as far as app-compose.json allows (Dstack-TEE/dstack, dstack/guest-agent/src/http_routes.rs and its templates). The service Worker of
// dstack's guest agent stands beside it, under /prpc.
package public
