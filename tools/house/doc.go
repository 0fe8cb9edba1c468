// Package house holds the rules of the house as tests: what may import what, which sources a program is built from, what
// stands at the top level. It has no code.
package house
