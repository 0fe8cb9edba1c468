// Package agentimage defines agent images and assembles them.
//
// A [Definition] is the declarative file images/agents/NAME/image.json: the only place where an agent's ports, user, model,
// memory limit and environment defaults stand. [Assemble] turns it, the agent's program and the CA bundle into an OCI image
// that is a function of those alone. Both build paths, Nix and plain Go, end in it.
//
// An image has two layers, in the order of how seldom they change: the base (CA bundle, user database, volume folders,
// extra files), and the program. The five agents of this repository share one program and one base, so they differ in
// nothing but their configuration.
//
// Formats: OCI image-spec 1.1, config.md and annotations.md.
package agentimage
