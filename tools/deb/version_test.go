package deb_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/deb"
)

func TestCompareVersions(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0", 0},
		{"1.0", "1.0-0", 0},
		{"0:1.0-1", "1.0-1", 0},
		{"1.0", "1.00", 0},
		{"1.a", "1.a0", 0},
		{"1.0-1", "1.0-2", -1},
		{"9", "10", -1},
		{"1.9", "1.10", -1},
		{"1:1.0", "2.0", 1},
		{"2:0", "10:0", -1},
		{"1.0~rc1", "1.0", -1},
		{"1.0~~", "1.0~", -1},
		{"1.0~~a", "1.0~", -1},
		{"1.0~", "1.0", -1},
		{"1.0", "1.0a", -1},
		{"1.0a", "1.0+", -1},
		{"1.0Z", "1.0a", -1},
		{"1.0+b1", "1.0.1", -1},
		{"1.0-1~deb13u1", "1.0-1", -1},
		{"1.0-1", "1.0-1+b1", -1},
		{"1.0-1+deb13u1", "1.0-1+deb13u2", -1},
		{"1.7.24~ds1-6+deb13u1", "1.7.24~ds1-6", 1},
		{"26.1.5+dfsg1-9+b1", "26.1.5+dfsg1-9", 1},
		{"6.12.9-1", "6.12.43-1", -1},
		{"1.0-1-1", "1.0-1", 1},
		{"20250419", "2025.04", 1},
		{"1.001", "1.1", 0},
		{"99999999999999999999998", "99999999999999999999999", -1},
		{"1.2.3", "1.2-3", 1},
		{"1:0", "0", 1},
		{"2.0-", "2.0-", 0},
	}
	for _, tt := range tests {
		a, b := deb.Version(tt.a), deb.Version(tt.b)
		if got := a.Compare(b); got != tt.want {
			t.Errorf("%s against %s: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := b.Compare(a); got != -tt.want {
			t.Errorf("%s against %s: got %d, want %d", tt.b, tt.a, got, -tt.want)
		}
	}
}

func TestParseVersion(t *testing.T) {
	for _, good := range []string{"1", "0", "1:2.3-4", "1.0~rc1+dfsg-1.1~bpo13+1", "2:1:0-1", "1-2-3", "0.0~git20240101.abcdef0-1", "9.9.9a"} {
		if _, err := deb.ParseVersion(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []struct{ text, want string }{
		{"", "does not begin with a digit"},
		{"a1", "does not begin with a digit"},
		{"1:", "does not begin with a digit"},
		{":1", "epoch"},
		{"a:1", "epoch"},
		{"-1:1", "epoch"},
		{"1234567890:1", "epoch"},
		{"1.0-", "revision is empty"},
		{"1.0 ", "not allowed"},
		{"1_0", "not allowed"},
		{"1.0-1:2", "epoch"},
		{"1/0", "not allowed"},
		{"1é", "not allowed"},
		{strings.Repeat("1", 300), "longer than"},
	} {
		if _, err := deb.ParseVersion(bad.text); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%q: got %v, want %q in it", bad.text, err, bad.want)
		}
	}
}

func FuzzCompareVersions(f *testing.F) {
	f.Add("1.0~rc1-1", "1:1.0+b1", "1.0")
	f.Add("~", "", "0")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		versions := []deb.Version{deb.Version(a), deb.Version(b), deb.Version(c)}
		for _, v := range versions {
			if same := v; v.Compare(same) != 0 {
				t.Errorf("%q is not as old as itself", v)
			}
		}
		if versions[0].Compare(versions[1]) != -versions[1].Compare(versions[0]) {
			t.Errorf("%q and %q: the order depends on the order", a, b)
		}
		slices.SortFunc(versions, deb.Version.Compare)
		if versions[0].Compare(versions[2]) > 0 {
			t.Errorf("not transitive: %q", versions)
		}
		if v, err := deb.ParseVersion(a); err == nil && string(v) != a {
			t.Errorf("%q became %q", a, v)
		}
	})
}
