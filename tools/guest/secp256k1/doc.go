// Package secp256k1 makes recoverable ECDSA signatures on the curve secp256k1 (SEC 2 section 2.4.1), as dstack's GetKey has them. The
// standard library has no such curve.
//
// The keys are secrets of a guest whose host can measure time, so nothing here branches on them or looks them up: numbers are four words in
// Montgomery form, points are added by the complete formulas of Renes, Costello and Batina (2016/1060, algorithm 7), which have no cases,
// and nonces follow from key and digest (RFC 6979).
package secp256k1
