package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/semver"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// MaxSkew is how much later than the time of the verdict a release may have been created, for clocks that differ.
const MaxSkew = 5 * time.Minute

// VerifyOptions are what a verdict depends on beside release and policy.
type VerifyOptions struct {
	// At is the time to judge for.
	At time.Time
	// Memory is what was accepted before. Nil: nothing is remembered.
	Memory *Memory
	// Logs are logs to ask whether they continue what the release shows. What they read has to be of a log of the policy.
	Logs []transparency.Reader
}

// VerifyFolder is [Verify] for a folder, whatever is in it.
func VerifyFolder(ctx context.Context, dir string, p *Policy, o VerifyOptions) (*Report, error) {
	d, err := openAsFound(dir)
	var form *FieldError
	switch {
	case errors.As(err, &form) || fault(err):
		r := newReport(o.At)
		*r.check(CheckRelease) = Check{Check: CheckRelease, Result: Fail, Refusals: []Refusal{refusalOf(err)}}
		r.conclude()
		return r, nil
	case err != nil:
		return nil, err
	}
	report, err := Verify(ctx, d, p, o)
	return report, errors.Join(err, d.Close())
}

// Verify judges a release. It reads files of the directory, the memory, and the logs that the options name; it opens no connection of its
// own and asks no clock. An error says that it could not be told: a file can not be read, or a log has no proof
// ([transparency.UnprovenError]). What is accepted is in the memory when Verify returns.
func Verify(ctx context.Context, d *Directory, p *Policy, o VerifyOptions) (*Report, error) {
	if o.At.IsZero() {
		return nil, errors.New("release: expected a time to judge for, got none")
	}
	if o.Memory == nil {
		return judge(ctx, d, p, o, new(transparency.Memory), nil)
	}
	return o.Memory.update(ctx, func(logs *transparency.Memory, releases *remembered) (*Report, error) {
		return judge(ctx, d, p, o, logs, releases)
	})
}

// judge makes every check. Where the release is accepted, logs and releases have it; releases is nil without a memory.
func judge(ctx context.Context, d *Directory, p *Policy, o VerifyOptions, logs *transparency.Memory, releases *remembered) (*Report, error) {
	v := &verification{d: d, release: d.Release, policy: p, at: o.At, report: newReport(o.At)}
	r := v.report
	r.Digest, r.Name, r.Version, r.Created, r.Source = &d.Digest, d.Release.Name, d.Release.Version, &d.Release.Created, &d.Release.Source

	v.make(CheckRelease, func(f *findings) { f.detail = fmt.Sprintf("%s %s, %s", r.Name, r.Version, d.Digest) })
	v.make(CheckFiles, v.checkFiles)
	v.make(CheckImages, v.checkImages)
	v.make(CheckGuests, v.checkGuests)
	v.make(CheckApplications, v.checkApplications)
	v.make(CheckStatements, v.checkStatements)
	v.make(CheckPolicy, v.checkPolicy)
	v.make(CheckTime, v.checkTime)
	v.make(CheckBundles, v.checkBundles)
	v.make(CheckLayout, v.checkLayout)
	v.countSigners()
	v.make(CheckBuilders, func(f *findings) { v.checkRole(f, v.builders()) })
	v.make(CheckRebuilders, func(f *findings) { v.checkRole(f, v.rebuilders()) })
	v.make(CheckThreshold, v.checkThreshold)
	v.make(CheckSigned, v.checkSigned)
	v.make(CheckLog, func(f *findings) { v.checkLog(ctx, f, o.Logs, logs) })
	v.make(CheckMemory, func(f *findings) { v.checkMemory(f, releases) })
	if v.err != nil {
		return nil, v.err
	}
	r.conclude()
	// That a proof is missing decides nothing; but what is refused is refused without it.
	if v.unproven != nil && len(r.failures(CheckLog)) == 0 {
		return nil, v.unproven
	}
	return r, nil
}

// failures are the refusals of all checks but one that was not made.
func (r *Report) failures(except CheckName) []Refusal {
	var all []Refusal
	for _, c := range r.Checks {
		if c.Check != except || c.Result == Fail {
			all = append(all, c.Refusals...)
		}
	}
	return all
}

// verification is one run of Verify.
type verification struct {
	d       *Directory
	release *Release
	policy  *Policy
	at      time.Time
	report  *Report
	err     error // the first fault of reading

	statements map[string]statement // by name of file in the release; the one about the release has the name ""
	bundles    []bundle             // sorted by name of file
	links      map[string][]provenance.Fingerprint
	counted    []counted
	unproven   *transparency.UnprovenError
}

// findings collects what one check finds.
type findings struct {
	v        *verification
	refusals []Refusal
	detail   string
	outcome  Outcome
}

// maxRefusals is how many refusals of a check are told.
const maxRefusals = 32

func (f *findings) refuse(code Code, format string, args ...any) {
	if len(f.refusals) < maxRefusals {
		f.refusals = append(f.refusals, Refusal{code, fmt.Sprintf(format, args...)})
	}
}

// skip says that the check could not be made because of another one that failed.
func (f *findings) skip(reason string) { f.outcome, f.detail = NotChecked, reason }

// notAsked says that nobody asks for the check.
func (f *findings) notAsked(reason string) { f.outcome, f.detail = NotAsked, reason }

// read reads a listed file. What is wrong with the file itself is told by the check of the files.
func (f *findings) read(name string, limit int64) ([]byte, bool) {
	data, err := f.v.d.ReadFile(name, limit)
	switch {
	case err == nil:
		return data, true
	case fault(err), errors.Is(err, errGone):
		f.skip(name + " is not what " + ManifestFile + " says")
	default:
		f.fault(err)
	}
	return nil, false
}

func (f *findings) fault(err error) {
	if f.v.err == nil {
		f.v.err = err
	}
}

// make makes a check.
func (v *verification) make(name CheckName, check func(*findings)) {
	if v.err != nil {
		return
	}
	f := &findings{v: v, outcome: Pass}
	check(f)
	c := v.report.check(name)
	c.Result, c.Detail, c.Refusals = f.outcome, f.detail, f.refusals
	if len(f.refusals) > 0 {
		c.Result, c.Detail = Fail, ""
	}
}

// refusalOf gives an error about what is in a release its code.
func refusalOf(err error) Refusal {
	var unaccounted *UnaccountedError
	var changed *ChangedError
	switch {
	case errors.As(err, &unaccounted):
		return Refusal{unaccounted.code, err.Error()}
	case errors.As(err, &changed):
		return Refusal{changed.code, err.Error()}
	default:
		return Refusal{CodeRelease, err.Error()}
	}
}

func (v *verification) checkPolicy(f *findings) {
	r, p := v.release, v.policy
	if r.Name != p.Name {
		f.refuse(CodePolicyName, "name: expected %q, as the policy asks, got %q", p.Name, r.Name)
	}
	if r.Source.Repository != p.Source {
		f.refuse(CodePolicySource, "source.repository: expected %q, as the policy asks, got %q", p.Source, r.Source.Repository)
	}
	if p.MinimumVersion != "" && semver.Compare("v"+r.Version, "v"+p.MinimumVersion) < 0 {
		f.refuse(CodePolicyVersion, "version: expected at least %s, as the policy asks, got %s", p.MinimumVersion, r.Version)
	}
	if slices.Contains(p.RevokedReleases, v.d.Digest) {
		f.refuse(CodePolicyRevoked, "expected a release that is not revoked, got %s, which the policy revokes", v.d.Digest)
	}
	for i, g := range r.Guests {
		if g.Development && !p.DevelopmentGuests {
			f.refuse(CodePolicyDevelopment, "guests[%d].development: expected guest images for production, as the policy asks, got %s for development", i, g.Name)
		}
	}
	f.detail = "from " + r.Source.Repository + ", revision " + r.Source.Revision
}

func (v *verification) checkTime(f *findings) {
	created, at := v.release.Created, v.at.UTC()
	if created.After(at.Add(MaxSkew)) {
		f.refuse(CodeTimeFuture, "created: expected a time not after %s, got %s", at.Format(time.RFC3339), created.Format(time.RFC3339))
	}
	if age := at.Sub(created); v.policy.MaximumAge > 0 && age > v.policy.MaximumAge {
		f.refuse(CodeTimeAge, "created: expected a release of at most %d days at %s, got one of %s",
			v.policy.MaximumAge/(24*time.Hour), at.Format(time.RFC3339), created.Format(time.RFC3339))
	}
	f.detail = "created " + created.Format(time.RFC3339) + ", judged for " + at.Format(time.RFC3339)
}
