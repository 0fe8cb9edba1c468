// Package compose renders what is deployed: from compose/AGENT/docker-compose.yaml, compose/AGENT/deployment.json, the
// agent's image definition and the digests of images, it makes the app-compose.json that dstack measures.
//
// The docker-compose file names images as their definitions do, and ports, model and memory limit as ${definition.MEMBER}:
// those facts stand in images/agents/AGENT/image.json and nowhere else. ${NAME} alone as the value of NAME stands for a
// variable that is given, encrypted, at deployment; its name becomes one of allowed_envs.
//
// What can be deployed is a list, not what is left of the Compose Specification after some bans: [Load] and [Agent.Render]
// refuse every key they do not know, every image without a digest, every path of the guest but four, and what looks like a
// secret. What is rendered is written anew, sorted, with every text quoted, so that comments and spelling of the source do not
// change the compose hash, and no two YAML readers can differ about it.
//
// Formats: compose-spec/compose-spec spec.md (services, ports and volumes in the short syntax, interpolation);
// app-compose.json as in package dstack; distribution/reference for images.
package compose
