package tdvf

import "github.com/boardroom-tee/boardroom/tools/eventlog"

// known are profiles of distribution firmware by MRTD (one-pass). Each is what [Image.Profile] finds in the image, which an
// acceptance test proves; having them here saves the unpacking, which takes longer than all the hashing of a prediction.
var known = map[string]func() (*Profile, error){
	// Debian trixie, ovmf 2025.02-8+deb13u1, OVMF.fd
	"bdc6fb145880f06f30c8b346b8dce2a99d9351b56892df22f80fcf6574caa9f9c31df8e8576d53b4d0cd1c3f28910e11": func() (*Profile, error) {
		return knownProfile(202502, LayoutB, Strings{"Debian distribution of EDK II", "2025.02-8+deb13u1", "11/08/2025"})
	},
	// Debian forky, ovmf-generic 2026.08+ds-2, OVMF.fd
	"ab742989d480d040f178cf83c3ae0734f923dbddb7325b4a826e0d87c30cb299aff85beb23ad30a1c6f975a8d0ce3e7a": func() (*Profile, error) {
		return knownProfile(202608, LayoutC, Strings{"Debian distribution of EDK II", "2026.08+ds-2", "09/26/2026"})
	},
	// Debian forky, ovmf-inteltdx 2026.08+ds-2, OVMF.inteltdx.ms.fd
	"a7a1f751abc454f9cbab198ca8d2edb2821935df525c74182b5e776cb0929e8c59aefecce725b0d08a5e9d3d3183bd08": func() (*Profile, error) {
		p, err := knownProfile(202608, LayoutD, Strings{"Debian distribution of EDK II", "2026.08+ds-2", "09/26/2026"})
		if err == nil {
			p.SecureBoot, p.Shell = true, nil
			p.BootOptions = bootOptions(func(file GUID) bool { return file == menuAppFile }, true, true)
		}
		return p, err
	},
}

func knownProfile(release int, layout Layout, s Strings) (*Profile, error) {
	p, err := ReleaseProfile(release, false)
	if err != nil {
		return nil, err
	}
	p, err = p.WithLayout(layout)
	if err != nil {
		return nil, err
	}
	p.Strings = &s
	return p, nil
}

// ProfileOf is [Image.Profile] with the MRTD of the image in the order [OnePass], by which known images are recognised.
func (im *Image) ProfileOf(onePass eventlog.Digest) (*Profile, error) {
	if profile, ok := known[onePass.String()]; ok {
		return profile()
	}
	return im.Profile()
}
