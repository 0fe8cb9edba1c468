// Package registry carries images to OCI registries (distribution-spec 1.1).
//
// It stands apart from package oci because talking to a registry takes a network, credentials and the modules for both;
// what assembles an image needs none of them.
package registry
