package release

// CheckName names a check of [Verify]. It is stable.
type CheckName string

// The checks.
const (
	CheckRelease      CheckName = "release"
	CheckFiles        CheckName = "files"
	CheckImages       CheckName = "images"
	CheckGuests       CheckName = "guests"
	CheckApplications CheckName = "applications"
	CheckStatements   CheckName = "statements"
	CheckPolicy       CheckName = "policy"
	CheckTime         CheckName = "time"
	CheckBundles      CheckName = "bundles"
	CheckLayout       CheckName = "layout"
	CheckBuilders     CheckName = "builders"
	CheckRebuilders   CheckName = "rebuilders"
	CheckThreshold    CheckName = "threshold"
	CheckSigned       CheckName = "statement-signatures"
	CheckLog          CheckName = "log"
	CheckMemory       CheckName = "memory"
)

// checks are all of them, in the order in which they decide, each with what it means that it passes. CODES.md is written from it.
var checks = []struct {
	name    CheckName
	meaning string
}{
	{CheckRelease, "release.json has the one form that its schema allows"},
	{CheckFiles, "every file that it lists is there with its size and digest, and nothing else is"},
	{CheckImages, "every OCI layout holds exactly the image of that digest: index, manifest, configuration and layers, and no other blob"},
	{CheckGuests, "every guest image has the os_image_hash: sha256sum.txt, the files that it lists, and what those vouch for"},
	{CheckApplications, "every app-compose is strict, runs images and no scripts, and only images of the release, by digest"},
	{CheckStatements, "the statements are of the kinds that they have to be, each about exactly its artifact, built from the release's source"},
	{CheckPolicy, "name, source, version and kinds of guests are what the policy asks for, and the release is not revoked"},
	{CheckTime, "the release is neither of the future nor older than the policy allows"},
	{CheckBundles, "every signature is a Sigstore bundle over the statement about the release or one of its statements"},
	{CheckLayout, "the owners' layout is valid, and the links of those whom it names lead to the artifacts of the release"},
	{CheckBuilders, "enough builders of the policy signed the release"},
	{CheckRebuilders, "enough rebuilders of the policy signed the release, none of them a builder"},
	{CheckThreshold, "enough distinct identities signed it altogether"},
	{CheckSigned, "a builder signed each of the statements"},
	{CheckLog, "the logs of the policy have every signature that counts, and their witnesses saw it"},
	{CheckMemory, "the release is not older than what was accepted before, and the logs are those that were seen"},
}

// Code names a reason for a refusal. It is stable. Codes of packages provenance, layout and transparency stand for themselves.
type Code string

// The codes of this package. Which others there are stands in CODES.md.
const (
	CodeRelease       Code = "release"
	CodeFilesMissing  Code = "file-missing"
	CodeFilesUnlisted Code = "file-unlisted"
	CodeFilesKind     Code = "file-kind"
	CodeFilesSize     Code = "file-size"
	CodeFilesDigest   Code = "file-digest"

	CodeImageLayout       Code = "image-layout"
	CodeImageDigest       Code = "image-digest"
	CodeImageBlob         Code = "image-blob"
	CodeImageUnreferenced Code = "image-unreferenced"

	CodeGuestChecksums   Code = "guest-checksums"
	CodeGuestHash        Code = "guest-hash"
	CodeGuestFile        Code = "guest-file"
	CodeGuestMetadata    Code = "guest-metadata"
	CodeGuestDevelopment Code = "guest-development"

	CodeAppCompose       Code = "app-compose"
	CodeAppComposeRunner Code = "app-compose-runner"
	CodeAppComposeImage  Code = "app-compose-image"

	CodeStatement     Code = "statement"
	CodeStatementType Code = "statement-type"
	CodePredicateType Code = "predicate-type"
	CodePredicate     Code = "predicate"
	CodeSubject       Code = "subject"
	CodeSource        Code = "statement-source"

	CodePolicyName        Code = "policy-name"
	CodePolicySource      Code = "policy-source"
	CodePolicyVersion     Code = "policy-version"
	CodePolicyRevoked     Code = "policy-revoked"
	CodePolicyDevelopment Code = "policy-development"

	CodeTimeFuture Code = "time-future"
	CodeTimeAge    Code = "time-age"

	CodeBundleName    Code = "bundle-name"
	CodeBundleUnknown Code = "bundle-unknown"
	CodePayloadType   Code = "payload-type"
	CodeContent       Code = "content"

	CodeLinkName      Code = "link-name"
	CodeLinkMaterials Code = "link-materials"
	CodeLinkProducts  Code = "link-products"
	CodeLinkRevoked   Code = "link-revoked"
	CodeLayoutStep    Code = "layout-step"

	CodeKeyRevoked         Code = "key-revoked"
	CodeNoLink             Code = "signer-link"
	CodeRepeated           Code = "repeated"
	CodeBuilderThreshold   Code = "builder-threshold"
	CodeRebuilderThreshold Code = "rebuilder-threshold"
	CodeThreshold          Code = "threshold"
	CodeUnsigned           Code = "statement-unsigned"

	CodeLogName    Code = "log-name"
	CodeLogMissing Code = "log-missing"

	CodeRollback  Code = "rollback"
	CodeTwice     Code = "version-twice"
	CodeClockBack Code = "clock-back"
	CodeUnchecked Code = "unchecked"
)
