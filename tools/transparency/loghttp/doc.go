// Package loghttp reads a log over HTTP, and serves one (c2sp.org/tlog-tiles, "APIs").
//
// A log needs no server of its own: any static host does. What this one adds are the media types and cache headers of the specification,
// and that it serves nothing but the log's resources. Whoever reads a log believes none of this; see package transparency.
package loghttp
