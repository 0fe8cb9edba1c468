// Package strictjson decodes JSON (RFC 8259) so that one text has one meaning.
//
// encoding/json accepts what lets two readers of the same signed bytes disagree: it takes the last of two members with
// one name, matches member names without regard to case, ignores members it does not know, and replaces invalid UTF-8.
// RFC 8259 section 4 leaves duplicate names to the reader, and that is where signature wrapping attacks on collateral and
// policies live. This package refuses all of these, as well as data after the value and nesting deeper than [MaxDepth].
//
// Callers bound the size of the input; memory use is proportional to it.
package strictjson
