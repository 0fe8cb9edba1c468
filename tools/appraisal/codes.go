package appraisal

// The codes of the checks of this package, beside those of package quote. The package comment says what each of them means.
const (
	codeReportDataClaims   = "report_data.claims"
	codeReportDataCopy     = "report_data.copy"
	codeReportDataExpected = "report_data.expected"
	codeReportDataNonce    = "report_data.nonce"
	codeClaimsTimestamp    = "claims.timestamp"

	codeLogForm     = "event_log.form"
	codeLogPayload  = "event_log.payload"
	codeLogReplay   = "event_log.replay." // and the register
	codeLogData     = "event_log.data"
	codeLogBoot     = "event_log.boot"
	codeLogConfigID = "event_log.mrconfigid"

	codeReference      = "reference_values"
	codeReferenceValue = "reference_values." // and the member of the expectation
)
