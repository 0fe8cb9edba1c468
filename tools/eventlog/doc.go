// Package eventlog reads measured-boot event logs and replays them.
//
// Three binary or text forms are understood:
//
//   - the CC measurement event log of a TD, the bytes that the ACPI table CCEL points to (UEFI 2.10 section 38.4, ACPI 6.5
//     section 5.2.34), crypto agile as in the TCG PC Client Platform Firmware Profile (PFP) 1.06 section 10.2. Its register
//     numbers are one more than the RTMR: 1 is RTMR0;
//   - the TPM log that Linux shows as binary_bios_measurements (same PFP section), of which the SHA-384 bank is used;
//   - the JSON event log and the runtime event log of dstack (contracts/dstack.md section 4), whose digests exist in two
//     versions.
//
// A replay says that a log is consistent with register values. It never says that the events are the right ones: compare
// with a prediction for that. Data of an event is not covered by its digest for every event type; see [Event.CheckData].
//
// All integers in binary logs are little-endian. Input is limited to [MaxSize] bytes, parsing is linear in it, and byte slices
// in results alias the input.
package eventlog
