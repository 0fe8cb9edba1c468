package quote

// Status is a TCB status in the words of Intel's PCS API v4, or one that verification computes.
type Status string

// The statuses, best first within each group.
const (
	UpToDate                             Status = "UpToDate"
	SWHardeningNeeded                    Status = "SWHardeningNeeded"
	ConfigurationNeeded                  Status = "ConfigurationNeeded"
	ConfigurationAndSWHardeningNeeded    Status = "ConfigurationAndSWHardeningNeeded"
	TDRelaunchAdvised                    Status = "TDRelaunchAdvised"
	TDRelaunchAdvisedConfigurationNeeded Status = "TDRelaunchAdvisedConfigurationNeeded"
	OutOfDate                            Status = "OutOfDate"
	OutOfDateConfigurationNeeded         Status = "OutOfDateConfigurationNeeded"
	Revoked                              Status = "Revoked"
	NotSupported                         Status = "NotSupported"      // no TCB level matches
	TDXModuleMismatch                    Status = "TdxModuleMismatch" // no identity for the module, or another signer or attributes
)

// Acceptable reports whether a policy may accept the status. No policy can accept what is revoked, unknown or has no level.
func (s Status) Acceptable() bool {
	switch s {
	case UpToDate, SWHardeningNeeded, ConfigurationNeeded, ConfigurationAndSWHardeningNeeded, TDRelaunchAdvised,
		TDRelaunchAdvisedConfigurationNeeded, OutOfDate, OutOfDateConfigurationNeeded:
		return true
	default:
		return false
	}
}

// ofPlatform reports whether a level of TCB info can have the status (Intel PCS API v4, TCB info v3).
func (s Status) ofPlatform() bool {
	switch s {
	case UpToDate, SWHardeningNeeded, ConfigurationNeeded, ConfigurationAndSWHardeningNeeded, OutOfDate, OutOfDateConfigurationNeeded, Revoked:
		return true
	default:
		return false
	}
}

// ofEnclave reports whether a level of a TDX module or QE identity can have the status.
func (s Status) ofEnclave() bool { return s == UpToDate || s == OutOfDate || s == Revoked }

func (s Status) outOfDate() bool { return s == OutOfDate || s == OutOfDateConfigurationNeeded }

func (s Status) configurationNeeded() bool {
	return s == ConfigurationNeeded || s == ConfigurationAndSWHardeningNeeded || s == OutOfDateConfigurationNeeded
}

// merge lowers the status of a platform by that of its TDX module or QE, one of UpToDate, OutOfDate and Revoked, as
// convergeTcbStatusWithTdxModuleStatus and convergeTcbStatusWithQeTcbStatus of Intel's library do
// (Verifiers/Checks/TdxModuleCheck.cpp and TcbLevelCheck.cpp).
func (s Status) merge(part Status) Status {
	switch part {
	case UpToDate:
		return s
	case Revoked:
		return Revoked
	}
	switch s {
	case UpToDate, SWHardeningNeeded:
		return OutOfDate
	case ConfigurationNeeded, ConfigurationAndSWHardeningNeeded:
		return OutOfDateConfigurationNeeded
	default:
		return s
	}
}
