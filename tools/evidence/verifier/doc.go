// Package verifier judges the evidence of peers against reference values that its owner was given, and remembers what it found.
// It is the verifier and the relying party's policy in the words of RFC 9334 (RATS architecture).
//
// # Reference values
//
// One JSON document, read strictly:
//
//	{
//	  "peers": [
//	    {
//	      "name": "finance 0.1.0",                            shown as what matched
//	      "agent_type": "finance",                            as in the peer's claims; hub for a hub
//	      "agent_id": "finance-acme",                         optional: only this agent
//	      "application": {                                    what runs in the machine; app_id, compose_hash or both
//	        "app_id": "40 hex digits",
//	        "compose_hash": "64 hex digits",
//	        "key_provider": {"name": "kms", "id": "hex"}      optional
//	      },
//	      "machine": [ { "mrtd": …, "rtmr0": …, "rtmr1": …, "rtmr2": … }, … ]
//	    }
//	  ],
//	  "policy": {                                             optional, as is each member; without it only UpToDate is accepted
//	    "accept_status": ["SWHardeningNeeded"],
//	    "denied_advisories": ["INTEL-SA-00000"],
//	    "min_tcb_evaluation": 18,
//	    "platforms": ["32 hex digits"]                        PPIDs of the machines that are acceptable
//	  },
//	  "collateral": "https://…, a directory or a bundle",     optional: Intel's service
//	  "collateral_cache": "/app/data/collateral",             optional: a directory
//	  "trust_root": "/path/root.pem"                          development only: another root than Intel's
//	}
//
// The elements of machine are documents that [appraisal.ParseExpectation] reads, such as what `boardroom measure` prints; one
// of them has to hold, together with all of application. Neither is enough alone. Firmware, kernel and image are the same
// for everyone who runs dstack, so measurements of the machine alone would let any compose file register as finance. The
// application is told by events that the machine's software writes, so without the machine they are anybody's words.
//
// Where several entries have the peer's type, and its id if they name one, one of them has to hold.
//
// The document is policy: whoever writes it decides who is let in. In a confidential VM it has to come with what is measured,
// such as the content of a config in the compose file, and not from the host. [Verifier.Digest] is shown with every result,
// so that who reads results can tell which policy they are of.
package verifier
