package collateral

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// MaxMember bounds each part of collateral, in bytes. The largest real one, a TCB info, has some 10 KiB.
const MaxMember = 1 << 20

// ErrUnreachable means that collateral could not be obtained: nobody answers, too late, too much, or with an HTTP error.
var ErrUnreachable = errors.New("collateral could not be obtained")

// ErrSpec means that a text names no place where collateral could come from.
var ErrSpec = errors.New("not a place of collateral")

// Options are what is common to all places where collateral comes from.
type Options struct {
	// Root is what collateral has to lead to before it is kept or counts as seen.
	Root quote.TrustRoot
	// Cache keeps collateral and remembers what was seen. Without one, every call asks the service, and what was seen is remembered as
	// long as the Source. What is verified for a time that is past, as with --at, must have no cache and a Source of its own: it
	// would be refused as old.
	Cache *Cache
	// Update chooses what a service is asked for; empty leaves it to the service. What was seen of documents is told apart by it,
	// also of those in files.
	Update Update
	// Now is the verifier's clock; nil is the system's.
	Now func() time.Time
	// Note is told what a person may want to know and no caller decides on; nil discards it.
	Note func(text string)
	// Transport carries requests; nil is one of the package's own, with the proxies of the environment and no keep-alives.
	Transport http.RoundTripper
}

// Update is a channel of Intel's service. New TCB levels appear in the early one first; they become standard with the next TCB
// recovery, when operators had time to update.
type Update string

// The channels.
const (
	Early    Update = "early"
	Standard Update = "standard"
)

// channel names the channel in what was seen: a service's own choice is a third, as it is not said which it is.
func (u Update) channel() string { return cmp.Or(string(u), "default") }

// ParseUpdate reads the name of a channel, early or standard; empty leaves it to the service.
func ParseUpdate(text string) (Update, error) {
	switch u := Update(text); u {
	case "", Early, Standard:
		return u, nil
	default:
		return "", fmt.Errorf("expected %s or %s, got %.40q", Early, Standard, text)
	}
}

// Source is a place where collateral comes from. It is safe for concurrent use.
type Source struct {
	options Options
	get     func(context.Context, Target) (quote.Collateral, error)
	service *service // nil for files
	record  record
}

// record is where what was seen is remembered and what was verified is kept: a [*Cache], or a [*memory].
type record interface {
	Floor(root quote.TrustRoot) (time.Time, error)
	advance(ctx context.Context, root quote.TrustRoot, update Update, f quote.Facts) error
	bundles() []kept
	store(ctx context.Context, name string, collateral quote.Collateral) error
}

// Open names a place: the address of a PCS or PCCS with http:// or https://, a directory, or a bundle; empty means [IntelPCS].
// A file is looked for at once, a service is not asked. The error wraps [ErrSpec] if spec can not be such a place; any other tells
// that it is not there.
func Open(spec string, options Options) (*Source, error) {
	if _, err := ParseUpdate(string(options.Update)); err != nil {
		return nil, fmt.Errorf("%w: update: %w", ErrSpec, err)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Note == nil {
		options.Note = func(string) {}
	}
	source := &Source{options: options, record: options.Cache}
	if options.Cache == nil {
		source.record = &memory{seen: newState()}
	}
	if spec == "" {
		spec = IntelPCS
	}
	if strings.Contains(spec, "://") {
		service, err := newService(spec, options)
		if err != nil {
			return nil, err
		}
		source.service, source.get = service, service.fetch
		return source, nil
	}
	info, err := os.Stat(spec)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("collateral: expected a directory, a bundle or an address with https:// or http://, and there is no file %q: %w", spec, err)
	case err != nil:
		return nil, fmt.Errorf("collateral: %w", err)
	case info.IsDir():
		source.get = func(context.Context, Target) (quote.Collateral, error) { return ReadDirectory(spec) }
	case info.Mode().IsRegular():
		source.get = func(context.Context, Target) (quote.Collateral, error) { return ReadBundle(spec) }
	default:
		return nil, fmt.Errorf("collateral: %s: expected a directory or a file, got %s", spec, info.Mode().Type())
	}
	return source, nil
}

// For returns the collateral for a parsed quote, as [Source.Get]. For a quote whose PCK certificate does not tell what is needed it
// returns none, and asks nobody: package quote refuses such a quote, and says why.
func (s *Source) For(ctx context.Context, q *quote.Quote) (quote.Collateral, error) {
	if s.service == nil {
		return s.Get(ctx, Target{})
	}
	target, err := TargetOf(q)
	if _, unfit := errors.AsType[*TargetError](err); unfit {
		return quote.Collateral{}, nil
	}
	return s.Get(ctx, target)
}

// Get returns the collateral for a target. Of files the target is not looked at: they hold what they hold, and package quote compares.
//
// A cached answer of a service is used until the first of its parts has its next update. Where a service answers with a part that is
// older than one that is kept for another platform, the newer one is used. The caller has to appraise what is returned,
// with a cache or without. The error wraps [ErrUnreachable] or [ErrState], is an [*AnswerError] or a [*RollbackError], or tells why a
// file could not be read or kept. Of these only a RollbackError is a verdict.
func (s *Source) Get(ctx context.Context, target Target) (quote.Collateral, error) {
	return s.obtain(ctx, target, false)
}

// Fetch is Get without what is kept in the cache: a service is asked in any case, and what it answers is refused if it is older than what
// was seen. What it answers goes to the cache.
func (s *Source) Fetch(ctx context.Context, target Target) (quote.Collateral, error) {
	return s.obtain(ctx, target, true)
}

func (s *Source) obtain(ctx context.Context, target Target, fresh bool) (quote.Collateral, error) {
	root, update, now := s.options.Root, s.options.Update, s.options.Now()
	if err := checkClock(s.record, root, now); err != nil {
		return quote.Collateral{}, err
	}
	name := ""
	if s.service != nil {
		name = entryName(s.service, root, target)
		if cache := s.options.Cache; cache != nil && !fresh {
			kept, ok, err := cache.load(name, root, update, target, now, s.options.Note)
			if ok || err != nil {
				return kept, err
			}
		}
	}
	c, err := s.get(ctx, target)
	if err != nil {
		return quote.Collateral{}, err
	}
	facts, err := quote.NewVerifier(c, root).Facts(now)
	if err == nil && s.service != nil {
		err = target.Check(facts)
	}
	if err != nil {
		return c, nil //nolint:nilerr // package quote says what is wrong with it
	}
	err = s.record.advance(ctx, root, update, facts)
	if _, older := errors.AsType[*RollbackError](err); older && s.service != nil && !fresh {
		// QE identity and lists are shared by platforms, and the nodes of a service are not all as new.
		if c, facts, older = newest(s.record.bundles(), c, facts, root, update, now, s.options.Note); !older {
			err = s.record.advance(ctx, root, update, facts)
		}
	}
	if err != nil {
		return quote.Collateral{}, err
	}
	if s.service != nil {
		if err := s.record.store(ctx, name, c); err != nil {
			return quote.Collateral{}, err
		}
	}
	return c, nil
}
