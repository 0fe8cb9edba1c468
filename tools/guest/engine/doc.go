// Package engine runs the container engine of the root file system, containerd and dockerd, and the application on it: docker compose over
// the compose file that was measured (Dstack-TEE/dstack, os/common/rootfs/app-compose.sh). It also reads the containers' logs, over the
// engine's own API (Docker Engine API 1.45).
package engine
