package agent

// Version is that of the agent program. It is a constant and not build information, so that the binary depends on the
// source alone.
const Version = "0.1.0"
