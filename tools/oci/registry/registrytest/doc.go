// Package registrytest runs an empty registry for tests: docker-registry of Debian's package of that name, which implements the OCI
// distribution specification 1.0 and so has no referrers API.
package registrytest
