// Package program is the agent program: it turns command line and environment into a running hub or agent.
//
// One binary is every agent and the hub. Exit codes: 0 done, 2 wrong usage or configuration, 1 anything that failed later.
package program
