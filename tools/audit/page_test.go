package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/audit"
	"github.com/boardroom-tee/boardroom/tools/audit/difference"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
)

var update = flag.Bool("update", false, "write the golden files anew")

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reports are one for each verdict. Names and texts are those of somebody who would like to write into the page.
func reports() map[string]*audit.Report {
	const (
		one = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
		two = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	)
	base := func(verdict audit.Verdict) *audit.Report {
		return &audit.Report{
			Schema: audit.Schema, Verdict: verdict, Program: "0.1.0", Began: time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC), Seconds: 187.4,
			Machine: "linux/amd64, 2 processors",
			Release: audit.Subject{
				Name: "boardroom", Version: "1.2.3", Created: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Digest: provenance.DigestOf([]byte("release")),
				Source: release.Source{Repository: "https://example.com/<source>", Revision: strings.Repeat("a", 40), Tree: strings.Repeat("b", 40)},
			},
			Paths: []audit.PathReport{{Path: audit.Go, Asked: true, Seconds: 71.2}, {Path: audit.Nix, Asked: true, Seconds: 112.9}},
			Items: []audit.Item{
				{Kind: audit.Files, Name: "all files", Result: audit.Reproduced, Expected: "45 files with the digests of release.json"},
				{Kind: audit.Source, Name: "revision", Result: audit.Reproduced, Expected: strings.Repeat("a", 40), Got: strings.Repeat("a", 40)},
				{Kind: audit.Image, Name: "hub", Path: audit.Go, Result: audit.Reproduced, Expected: one, Got: one},
				{Kind: audit.Image, Name: "hub", Path: audit.Nix, Result: audit.Reproduced, Expected: one, Got: one},
				{Kind: audit.Measurement, Name: "guest", Path: audit.Go, Result: audit.Reproduced, Expected: "MRTD and RTMR0-2 on 3 machines", Got: "MRTD and RTMR0-2 on 3 machines", Reason: "measured by the auditor's own program"},
			},
		}
	}
	reproduced := base(audit.Reproduced)
	reproduced.Auditor = `Ada <script>alert("1")</script> & Sons`
	inputs := provenance.DigestOf([]byte("inputs"))
	reproduced.Inputs, reproduced.Signed = &inputs, []string{"bundles/release-0123456789abcdef.sigstore.json", "links/rebuild.01234567.link"}
	differs := base(audit.Differs)
	differs.Items[2].Result, differs.Items[2].Got = audit.Differs, two
	differs.Items[2].Found = difference.List{Differences: []difference.Difference{
		{Where: []string{"hub", "layer 2", "/usr/bin/agent", "section .rodata"}, Offset: 4711, Expected: `6869 "hi"`, Got: `6f6b "ok"`},
		{Where: []string{"hub", "config", `member "><img src=x>`}, Offset: difference.NoOffset, Expected: "none", Got: "</td><script>"},
	}, More: 3}
	incomplete := base(audit.Incomplete)
	incomplete.Paths[0].Asked, incomplete.Paths[1].Reason = false, "nix is not installed"
	incomplete.Items[3].Result, incomplete.Items[3].Got, incomplete.Items[3].Reason = audit.NotDone, "", "not built: nix is not installed"
	return map[string]*audit.Report{"reproduced": reproduced, "differs": differs, "incomplete": incomplete}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		check(t, os.MkdirAll("testdata", 0o755))
		check(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	check(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s is another one; run the test with -update and look at what changed. Got\n%s", file, got)
	}
}

func TestReport(t *testing.T) {
	for name, r := range reports() {
		t.Run(name, func(t *testing.T) {
			var page, text bytes.Buffer
			check(t, r.HTML(&page))
			golden(t, name+".html", page.Bytes())
			check(t, r.Print(&text))
			golden(t, name+".txt", text.Bytes())
			data, err := json.MarshalIndent(r, "", "  ")
			check(t, err)
			golden(t, name+".json", append(data, '\n'))
			var again audit.Report
			check(t, json.Unmarshal(data, &again))
		})
	}
}

var (
	style  = regexp.MustCompile(`(?s)<style>(.*)</style>`)
	policy = regexp.MustCompile(`<meta http-equiv="Content-Security-Policy" content="([^"]*)">`)
	// outside is whatever would load, run or lead to something else.
	outside = regexp.MustCompile(`(?i)<(script|img|link|iframe|object|embed|form|a|base|svg|video|audio|input)\b|\bon[a-z]+=|url\(|@import|javascript:`)
)

// The page is whole: it loads nothing, runs nothing, and says so to the browser.
func TestPageIsSelfContained(t *testing.T) {
	for name, r := range reports() {
		var b bytes.Buffer
		check(t, r.HTML(&b))
		text := b.String()
		sum := sha256.Sum256([]byte(style.FindStringSubmatch(text)[1]))
		want := "default-src &#39;none&#39;; base-uri &#39;none&#39;; form-action &#39;none&#39;; style-src &#39;sha256-" +
			strings.ReplaceAll(base64.StdEncoding.EncodeToString(sum[:]), "+", "&#43;") + "&#39;"
		if got := policy.FindStringSubmatch(text); got == nil || got[1] != want {
			t.Errorf("%s: the policy is %q, want %q", name, got, want)
		}
		if found := outside.FindString(text); found != "" {
			t.Errorf("%s: the page has %q", name, found)
		}
		if strings.Contains(text, "style=") || strings.Contains(text, "ZgotmplZ") {
			t.Errorf("%s: the page has a style that the policy does not know, or a value that the template refused", name)
		}
	}
}
