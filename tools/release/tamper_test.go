package release_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// tampering is one way to alter a release, or what it is judged by.
type tampering struct {
	name string
	// codes are those of the check that decides, each once and in order.
	codes string
	alter func(w *world)
	// like names a tampering that has the same reason, since nobody could tell them apart.
	like string
}

// Files of the fixture.
const (
	appCompose = "compose/finance.json"
	sbomFile   = "statements/finance-agent.sbom.json"
	otherSBOM  = "statements/hub-agent.sbom.json"
	built      = "statements/finance-agent.provenance.json"
	values     = "statements/reference-values.json"
	ociIndex   = "images/finance-agent/index.json"
)

func guestFolder(w *world) string { return w.release().Guests[0].Folder }

func manifestBlob(w *world) string {
	return "images/finance-agent/blobs/sha256/" + strings.TrimPrefix(w.release().Images[0].Digest.String(), "sha256:")
}

// layerBlob is the layer of the image.
func layerBlob(w *world) string {
	var manifest struct {
		Layers []struct {
			Digest string `json:"digest"`
		} `json:"layers"`
	}
	w.check(json.Unmarshal(w.read(manifestBlob(w)), &manifest))
	return "images/finance-agent/blobs/sha256/" + strings.TrimPrefix(manifest.Layers[0].Digest, "sha256:")
}

// editStatement changes a statement and lets everybody sign the result.
func editStatement(file, old, replacement string) func(*world) {
	return func(w *world) {
		w.edit(file, old, replacement)
		w.remake(nil)
	}
}

// editManifest changes release.json and nothing else.
func editManifest(old, replacement string) func(*world) {
	return func(w *world) { w.edit(release.ManifestFile, old, replacement) }
}

// editCompose changes the app-compose, and lets everybody sign the result. Reference values name it, too, and are kept in step.
func editCompose(old, replacement string) func(*world) {
	return func(w *world) {
		before := strings.TrimPrefix(provenance.DigestOf(w.read(appCompose)).String(), "sha256:")
		w.edit(appCompose, old, replacement)
		w.edit(values, before, strings.TrimPrefix(provenance.DigestOf(w.read(appCompose)).String(), "sha256:"))
		w.remake(nil)
	}
}

// editBundle changes the JSON of the builder's signature of the release.
func editBundle(change func(b map[string]any)) func(*world) {
	return func(w *world) {
		name := bundleOf(w.fixture.Builder)
		var b map[string]any
		w.check(json.Unmarshal(w.read(name), &b))
		change(b)
		data, err := json.Marshal(b)
		w.check(err)
		w.write(name, data)
	}
}

// editProof takes the proof of the log apart.
func editProof(change func(w *world, p *transparency.Proof)) func(*world) {
	return func(w *world) {
		p, err := transparency.ParseProof(w.read(w.proofFile()))
		w.check(err)
		change(w, &p)
		w.write(w.proofFile(), p.Encode())
	}
}

// editEntry puts another entry into the log and its proof into the release.
func editEntry(change func(w *world, e *transparency.Entry)) func(*world) {
	return editProof(func(w *world, p *transparency.Proof) {
		e, err := transparency.ParseEntry(p.Entry)
		w.check(err)
		change(w, &e)
		again, err := transparency.ParseProof(w.log.proof(w.log.add(e.Encode())))
		w.check(err)
		*p = again
	})
}

// relink lets a key sign a link that says something else.
func relink(w *world, signer provenance.Signer, step string, change func(materials, products map[string]provenance.Digest)) {
	r := w.release()
	products, err := r.Products()
	w.check(err)
	materials := r.Materials()
	change(materials, products)
	data, err := layout.SignLink(w.t.Context(), layout.NewLink(step, materials, products), signer)
	w.check(err)
	name, err := layout.FileName(step, signer.Key())
	w.check(err)
	w.write(path.Join(release.LinksFolder, name), data)
}

// everywhere replaces a text in all that names artifacts by digest, but for release.json.
func (w *world) everywhere(old, replacement string) {
	w.t.Helper()
	for _, f := range w.release().Files {
		if folder, _, _ := strings.Cut(f.Path, "/"); folder == release.StatementsFolder || folder == release.ComposeFolder || f.Path == ociIndex {
			w.write(f.Path, bytes.ReplaceAll(w.read(f.Path), []byte(old), []byte(replacement)))
		}
	}
}

// reimage makes another image of the finance agent, by its manifest or its configuration, and lets everybody sign the release of it.
func reimage(change func(w *world, manifest string) string) func(*world) {
	return func(w *world) {
		before := w.release().Images[0].Digest
		compose := strings.TrimPrefix(digestOf(w.read(appCompose)).String(), "sha256:")
		old := w.read(manifestBlob(w))
		w.remove(manifestBlob(w))
		manifest := []byte(change(w, string(old)))
		after := digestOf(manifest)
		w.write("images/finance-agent/blobs/sha256/"+strings.TrimPrefix(after.String(), "sha256:"), manifest)
		w.edit(ociIndex, `"size": `+strconv.Itoa(len(old)), `"size": `+strconv.Itoa(len(manifest)))
		w.everywhere(before.String()[7:], after.String()[7:])
		w.everywhere(compose, strings.TrimPrefix(digestOf(w.read(appCompose)).String(), "sha256:"))
		w.remake(func(r *release.Release) { r.Images[0].Digest = after })
	}
}

// reguest makes another guest image by a file of it, and lets everybody sign the release of it.
func reguest(name string, change func(string) string) func(*world) {
	return func(w *world) {
		folder := guestFolder(w)
		before := w.release().Guests[0].OSImageHash
		if name != dstack.ChecksumFile {
			old := w.read(folder + "/" + name)
			w.write(folder+"/"+name, []byte(change(string(old))))
			w.edit(folder+"/"+dstack.ChecksumFile, digestOf(old).String()[7:], digestOf(w.read(folder + "/" + name)).String()[7:])
		} else {
			w.write(folder+"/"+name, []byte(change(string(w.read(folder+"/"+name)))))
		}
		after := dstack.ImageHashOf(w.read(folder + "/" + dstack.ChecksumFile))
		w.edit(folder+"/"+dstack.DigestFile, before.String(), after.String())
		w.everywhere(before.String(), after.String())
		w.remake(func(r *release.Release) { r.Guests[0].OSImageHash = after })
	}
}

func swap(old, replacement string) func(string) string {
	return func(text string) string {
		if !strings.Contains(text, old) {
			panic("there is no " + old + " in " + text)
		}
		return strings.Replace(text, old, replacement, 1)
	}
}

func swapManifest(old, replacement string) func(*world, string) string {
	return func(_ *world, manifest string) string { return swap(old, replacement)(manifest) }
}

// remember lets a memory accept another release first.
func remember(w *world, first *world) {
	m, err := release.OpenMemory(w.t.TempDir())
	w.check(err)
	first.options.Memory, w.options.Memory = m, m
	first.accept()
}

func of(signers ...provenance.Signer) []provenance.Key {
	var keys []provenance.Key
	for _, s := range signers {
		keys = append(keys, s.Key())
	}
	return keys
}

var never = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

var tamperings = []tampering{
	// release.json
	{name: "release.json: unknown member", codes: "release", alter: editManifest(`"name": "board"`, `"name": "board", "extra": 1`)},
	{name: "release.json: member twice", codes: "release", alter: editManifest(`"name": "board"`, `"name": "board", "name": "board"`)},
	{name: "release.json: not canonical", codes: "release", alter: editManifest(`"name": "board"`, `"name":  "board"`)},
	{name: "release.json: wrong schema", codes: "release", alter: editManifest("release/v1", "release/v2")},
	{name: "release.json: digest in upper case", codes: "release", alter: func(w *world) {
		d := w.release().Images[0].Digest.String()
		w.edit(release.ManifestFile, d, "sha256:"+strings.ToUpper(d[7:]))
	}},
	{name: "release.json: path with ..", codes: "release", alter: editManifest(`"compose/finance.json"`, `"compose/../finance.json"`)},
	{name: "release.json: data behind it", codes: "release", alter: func(w *world) { w.write(release.ManifestFile, append(w.read(release.ManifestFile), "{}"...)) }},
	{name: "release.json: compose hash of another app-compose", codes: "release", alter: func(w *world) {
		r := w.release()
		w.edit(release.ManifestFile, `"compose_hash": "`+r.Applications[0].ComposeHash.String(), `"compose_hash": "`+r.Applications[1].ComposeHash.String())
	}},
	{name: "release.json: time with a fraction", codes: "release", alter: editManifest("2026-11-20T12:00:00Z", "2026-11-20T12:00:00.5Z")},
	{name: "release.json: version that is none", codes: "release", alter: editManifest(`"version": "1.0.0"`, `"version": "1.0"`)},
	{name: "release.json: repository with a tag", codes: "release", alter: editManifest(`finance-boardroom-tee"`, `finance-boardroom-tee:latest"`)},
	{name: "release.json: statement used twice", codes: "release", alter: editManifest(`"sbom": "`+sbomFile, `"sbom": "`+otherSBOM)},
	{name: "release.json: size beyond all bounds", codes: "release", alter: func(w *world) {
		name := w.release().Files[0]
		w.edit(release.ManifestFile, name.Digest.String()+"\",\n      \"size\": ", name.Digest.String()+"\",\n      \"size\": 99999999")
	}},
	{name: "release.json: a link", codes: "file-kind", alter: func(w *world) {
		w.rename(release.ManifestFile, "copy.json")
		w.check(os.Symlink("copy.json", w.path(release.ManifestFile)))
	}},
	{name: "release.json: version lowered, same artifacts", codes: "bundle-unknown", alter: func(w *world) {
		w.edit(release.ManifestFile, `"version": "1.0.0"`, `"version": "1.0.1"`)
	}},

	// Files
	{name: "file altered", codes: "file-digest", alter: func(w *world) { w.flip(layerBlob(w)) }},
	{name: "file grown", codes: "file-size", alter: func(w *world) { w.write(appCompose, append(w.read(appCompose), ' ')) }},
	{name: "file shrunk", codes: "file-size", alter: func(w *world) { data := w.read(ociIndex); w.write(ociIndex, data[:len(data)-1]) }},
	{name: "file missing", codes: "file-missing", alter: func(w *world) { w.remove(appCompose) }},
	{name: "file renamed", codes: "file-unlisted file-missing", alter: func(w *world) { w.rename(appCompose, "compose/sales.json") }},
	{name: "artifact renamed", codes: "file-unlisted file-missing", alter: func(w *world) { w.rename("images/finance-agent", "images/ceo-agent") }},
	{name: "extra file that nobody signed", codes: "file-unlisted", alter: func(w *world) { w.write("compose/extra.json", []byte("{}")) }},
	{name: "extra file beside release.json", codes: "file-unlisted", alter: func(w *world) { w.write("README", []byte("hello")) }},
	{name: "extra artifact that nobody signed", codes: "file-unlisted", alter: func(w *world) {
		w.check(os.CopyFS(w.path("images/other"), os.DirFS(w.path("images/finance-agent"))))
	}},
	{name: "extra empty folder", codes: "file-unlisted", alter: func(w *world) { w.check(os.Mkdir(w.path("images/none"), 0o755)) }},
	{name: "file replaced by a link to its content", codes: "file-kind", alter: func(w *world) {
		outside := filepath.Join(w.t.TempDir(), "outside")
		w.check(os.WriteFile(outside, w.read(appCompose), 0o600))
		w.remove(appCompose)
		w.check(os.Symlink(outside, w.path(appCompose)))
	}},
	{name: "pipe in the place of a file", codes: "file-kind", alter: func(w *world) { w.remove(built); w.check(syscall.Mkfifo(w.path(built), 0o600)) }},
	{name: "app-compose serialised again", codes: "file-digest", alter: func(w *world) {
		data := w.read(appCompose)
		w.write(appCompose, replaced(w.t, data, `"manifest_version":2,"name":"finance-agent"`, `"name":"finance-agent","manifest_version":2`))
	}},
	{name: "voucher too large", codes: "file-size", alter: func(w *world) {
		name := bundleOf(w.fixture.Builder)
		w.check(os.Truncate(w.path(name), release.MaxVoucher+1))
	}},
	{name: "too many vouchers", codes: "file-size", alter: func(w *world) {
		for i := range release.MaxVouchers + 1 {
			w.write("log/"+strconv.Itoa(i)+release.ProofSuffix, nil)
		}
	}},
	{name: "file of no kind among the vouchers", codes: "file-unlisted", alter: func(w *world) { w.write("bundles/readme.txt", []byte("hello")) }},

	// Images
	{name: "index names another manifest", codes: "image-digest", alter: func(w *world) {
		r := w.release()
		w.edit(ociIndex, r.Images[0].Digest.String(), r.Images[1].Digest.String())
		w.remake(nil)
	}},
	{name: "release names another manifest than the layout", codes: "image-digest", alter: func(w *world) {
		w.remake(func(r *release.Release) { r.Images[0].Digest[0] ^= 1 })
	}},
	{name: "manifest of another size than its descriptor says", codes: "image-blob", alter: func(w *world) { w.edit(ociIndex, `"size": `, `"size": 1`); w.remake(nil) }},
	{name: "layer missing and not listed", codes: "image-blob", alter: func(w *world) { w.remove(layerBlob(w)); w.remake(nil) }},
	{name: "layer that its name does not fit, listed", codes: "image-blob", alter: func(w *world) { w.flip(layerBlob(w)); w.remake(nil) }},
	{name: "blob that nothing refers to", codes: "image-unreferenced", alter: func(w *world) {
		w.write("images/finance-agent/blobs/sha256/"+strings.TrimPrefix(provenance.DigestOf([]byte("x")).String(), "sha256:"), []byte("x"))
		w.remake(nil)
	}},
	{name: "two images in a layout", codes: "image-layout", alter: func(w *world) {
		data := w.read(ociIndex)
		from, to := bytes.IndexByte(data, '['), bytes.LastIndexByte(data, ']')
		w.write(ociIndex, slices.Concat(data[:to], []byte(","), data[from+1:to], data[to:]))
		w.remake(nil)
	}},
	{name: "layout of another version", codes: "image-layout", alter: func(w *world) {
		w.edit("images/finance-agent/oci-layout", "1.0.0", "1.0.1")
		w.remake(nil)
	}},
	{name: "unknown member in an index", codes: "image-layout", alter: func(w *world) { w.edit(ociIndex, `"schemaVersion"`, `"surprise": 1, "schemaVersion"`); w.remake(nil) }},
	{name: "index without a layout's marker", codes: "image-layout", alter: func(w *world) { w.remove("images/finance-agent/oci-layout"); w.remake(nil) }},

	{name: "manifest of another kind", codes: "image-layout", alter: reimage(swapManifest("vnd.oci.image.manifest", "vnd.oci.image.menifest"))},
	{name: "layer of another kind", codes: "image-layout", alter: reimage(swapManifest("layer.v1.tar+gzip", "layer.nondistributable.v1.tar+gzip"))},
	{name: "layer that is said to be elsewhere", codes: "image-blob", alter: reimage(func(_ *world, m string) string {
		return regexp.MustCompile(`("mediaType": ?"application/vnd.oci.image.layer)`).ReplaceAllString(m, `"urls": ["https://attacker.example/layer"], $1`)
	})},
	{name: "layer without a diff id", codes: "image-layout", alter: reimage(func(w *world, m string) string {
		name := regexp.MustCompile(`"config":\{[^}]*"digest":"sha256:([0-9a-f]{64})"`).FindStringSubmatch(regexp.MustCompile(`\s`).ReplaceAllString(m, ""))[1]
		file := "images/finance-agent/blobs/sha256/" + name
		old := w.read(file)
		var config map[string]any
		w.check(json.Unmarshal(old, &config))
		config["rootfs"].(map[string]any)["diff_ids"] = []any{}
		data, err := json.Marshal(config)
		w.check(err)
		w.remove(file)
		after := strings.TrimPrefix(digestOf(data).String(), "sha256:")
		w.write("images/finance-agent/blobs/sha256/"+after, data)
		m = swap(name, after)(m)
		return regexp.MustCompile(`("size": ?)`+strconv.Itoa(len(old))+`\b`).ReplaceAllString(m, "${1}"+strconv.Itoa(len(data)))
	})},

	// Guests
	{name: "sha256sum.txt that is none", codes: "guest-checksums", alter: reguest(dstack.ChecksumFile, func(text string) string { return strings.TrimSuffix(text, "\n") })},
	{name: "metadata.json that is none", codes: "guest-metadata guest-file", alter: reguest("metadata.json", func(string) string { return "{}" })},
	{name: "metadata.json with a member twice", codes: "guest-metadata guest-file", alter: reguest("metadata.json", swap(`"is_dev"`, `"version": "1", "is_dev"`))},
	{name: "kernel that sha256sum.txt does not have", codes: "guest-metadata guest-file", alter: reguest(dstack.ChecksumFile, func(text string) string {
		return regexp.MustCompile(`(?m)^.*bzImage\n`).ReplaceAllString(text, "")
	})},
	{name: "list of contents that is no digest", codes: "guest-metadata guest-file", alter: reguest("metadata.json", func(text string) string {
		return regexp.MustCompile(`("guest_contents_sha256": ?)"[0-9a-f]*"`).ReplaceAllString(text, "${1}7")
	})},
	{name: "no sha256sum.txt", codes: "guest-checksums", alter: func(w *world) { w.remove(guestFolder(w) + "/sha256sum.txt"); w.remake(nil) }},
	{name: "no digest.txt", codes: "guest-file", alter: func(w *world) { w.remove(guestFolder(w) + "/digest.txt"); w.remake(nil) }},
	{name: "sha256sum.txt altered", codes: "guest-hash", alter: func(w *world) {
		name := guestFolder(w) + "/sha256sum.txt"
		w.edit(name, "ovmf.fd", "ovmg.fd")
		w.remake(nil)
	}},
	{name: "os_image_hash of another guest", codes: "guest-hash", alter: func(w *world) {
		before := w.release().Guests[0].OSImageHash.String()
		other := "00" + before[2:]
		for _, f := range w.release().StatementFiles() {
			w.write(f, bytes.ReplaceAll(w.read(f), []byte(before), []byte(other)))
		}
		w.remake(func(r *release.Release) { r.Guests[0].OSImageHash[0] = 0 })
	}},
	{name: "kernel of another guest, listed", codes: "guest-file", alter: func(w *world) { w.flip(guestFolder(w) + "/bzImage"); w.remake(nil) }},
	{name: "digest.txt of another guest", codes: "guest-file", alter: func(w *world) {
		w.write(guestFolder(w)+"/digest.txt", []byte(strings.Repeat("0", 64)+"\n"))
		w.remake(nil)
	}},
	{name: "file that the guest does not vouch for, listed", codes: "guest-file", alter: func(w *world) { w.write(guestFolder(w)+"/extra.bin", []byte("x")); w.remake(nil) }},
	{name: "list of contents altered", codes: "guest-file", alter: func(w *world) {
		w.write(guestFolder(w)+"/"+guestimage.ContentsFile, append(w.read(guestFolder(w)+"/"+guestimage.ContentsFile), ' '))
		w.remake(nil)
	}},
	{name: "guest for development said to be for production", codes: "guest-development", alter: func(w *world) {
		*w = *newWorld(w.t, releasetest.Options{Flavours: []guestimage.Flavour{guestimage.Development}})
		w.edit(values, `"development":true`, `"development":false`)
		w.remake(func(r *release.Release) { r.Guests[0].Development = false })
	}},
	{name: "guest for development under a policy for production", codes: "policy-development", alter: func(w *world) {
		*w = *newWorld(w.t, releasetest.Options{Flavours: []guestimage.Flavour{guestimage.Development}})
	}},
	{name: "guest of another version", codes: "guest-metadata", alter: func(w *world) {
		w.remake(func(r *release.Release) { r.Guests[0].Version = "9.9.9" })
	}},

	// Applications
	{name: "image by tag in an app-compose", codes: "app-compose-image", alter: func(w *world) {
		m := w.release().Images[0]
		editCompose("@"+m.Digest.String(), ":latest")(w)
	}},
	{name: "image of nobody in an app-compose", codes: "app-compose-image", alter: func(w *world) {
		m := w.release().Images[0]
		editCompose(m.Digest.String(), "sha256:"+strings.Repeat("0", 64))(w)
	}},
	{name: "image from another registry in an app-compose", codes: "app-compose-image", alter: editCompose("registry.example/board", "registry.attacker/board")},
	{name: "app-compose runs another agent of the release", codes: "app-compose-image", alter: func(w *world) {
		r := w.release()
		editCompose(r.Images[0].Repository+"@"+r.Images[0].Digest.String(), r.Images[1].Repository+"@"+r.Images[1].Digest.String())(w)
	}},
	{name: "image of nobody beside the agent's", codes: "app-compose-image", alter: editCompose(`restart: \"always\"\n`,
		`restart: \"always\"\n  evil:\n    image: \"registry.attacker/evil@sha256:`+strings.Repeat("0", 64)+`\"\n    restart: \"always\"\n`)},
	{name: "script before launch in an app-compose", codes: "app-compose-runner", alter: editCompose(`"public_sysinfo":false`, `"pre_launch_script":"docker run evil","public_sysinfo":false`)},
	{name: "member twice in an app-compose", codes: "app-compose", alter: editCompose(`"public_sysinfo":false`, `"public_sysinfo":false,"public_sysinfo":true`)},

	// Statements
	{name: "statement of in-toto v0.1", codes: "statement-type", alter: editStatement(built, provenance.StatementType, provenance.StatementTypeV01)},
	{name: "provenance of another predicate type", codes: "predicate-type", alter: editStatement(built, provenance.BuildProvenanceType, "https://slsa.dev/provenance/v0.2")},
	{name: "bill of materials as provenance", codes: "predicate-type", alter: func(w *world) { w.write(built, w.read(sbomFile)); w.remake(nil) }},
	{name: "provenance of another image", codes: "subject", alter: func(w *world) {
		r := w.release()
		editStatement(built, r.Images[0].Digest.String()[7:], r.Images[1].Digest.String()[7:])(w)
	}},
	{name: "provenance of another name", codes: "subject", alter: editStatement(built, `"name":"finance-agent","digest"`, `"name":"sales-agent","digest"`)},
	{name: "provenance about one artifact more", codes: "subject", alter: editStatement(built, `"subject":[`, `"subject":[{"name":"a","digest":{"sha256":"`+strings.Repeat("0", 64)+`"}},`)},
	{name: "provenance from another repository", codes: "statement-source", alter: editStatement(built, "git+https://example.org/board@", "git+https://example.org/fork@")},
	{name: "provenance from another revision", codes: "statement-source", alter: editStatement(built, `"gitTree":"2b`, `"gitTree":"2c`)},
	{name: "provenance with a second source", codes: "statement-source", alter: func(w *world) {
		editStatement(built, `"resolvedDependencies":[`, `"resolvedDependencies":[{"uri":"git+https://a.example/x@`+strings.Repeat("a", 40)+`","digest":{"gitCommit":"`+strings.Repeat("a", 40)+`"}},`)(w)
	}},
	{name: "bill of materials of another image", codes: "subject", alter: func(w *world) { w.write(sbomFile, w.read(otherSBOM)); w.remake(nil) }},
	{name: "bill of materials that names another image inside", codes: "subject", alter: func(w *world) {
		r := w.release()
		editStatement(sbomFile, `"content":"`+r.Images[0].Digest.String()[7:], `"content":"`+r.Images[1].Digest.String()[7:])(w)
	}},
	{name: "reference values for another compose hash", codes: "subject", alter: func(w *world) {
		r := w.release()
		editStatement(values, r.Applications[0].ComposeHash.String(), r.Applications[1].ComposeHash.String())(w)
	}},
	{name: "reference values of another guest", codes: "subject", alter: func(w *world) {
		r := w.release()
		data := w.read(values)
		w.write(values, bytes.Replace(data, []byte(r.Guests[0].OSImageHash.String()), []byte(strings.Repeat("0", 64)), 1))
		w.remake(nil)
	}},
	{name: "reference values that are said to be of another guest inside", codes: "subject", alter: editStatement(values, `"development":false`, `"development":true`)},
	{name: "provenance that is malformed inside", codes: "predicate", alter: editStatement(built, `"buildDefinition":{`, `"buildDefinition":{"surprise":1,`)},
	{name: "bill of materials that is malformed inside", codes: "predicate", alter: editStatement(sbomFile, `"metadata":{`, `"metadata":7,"was":{`)},
	{name: "unknown member in reference values", codes: "predicate", alter: editStatement(values, `"machines":[`, `"surprise":1,"machines":[`)},
	{name: "statement that is no JSON", codes: "statement", alter: func(w *world) { w.write(built, []byte("no statement")); w.remake(nil) }},

	// Policy
	{name: "release of another name", codes: "policy-name", alter: func(w *world) { w.set("name", "other") }},
	{name: "release from a fork", codes: "policy-source", alter: func(w *world) { w.set("source", "https://example.org/upstream") }},
	{name: "release below the minimum version", codes: "policy-version", alter: func(w *world) { w.set("minimum_version", "1.0.1") }},
	{name: "prerelease of the minimum version", codes: "policy-version", alter: func(w *world) {
		w.remake(func(r *release.Release) { r.Version = "1.0.0-rc.1" })
	}},
	{name: "revoked release", codes: "policy-revoked", alter: func(w *world) {
		w.set("revoked_releases", []any{provenance.DigestOf(w.read(release.ManifestFile)).String()})
	}},
	{name: "release of the future", codes: "time-future", alter: func(w *world) {
		w.remake(func(r *release.Release) { r.Created = verifiedAt.Add(release.MaxSkew + time.Second) })
	}},
	{name: "release that is too old", codes: "time-age", alter: func(w *world) { w.set("maximum_age_days", 2) }},

	// Bundles
	{name: "bundle of another media type", codes: "bundle", alter: editBundle(func(b map[string]any) { b["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1" })},
	{name: "bundle with an unknown member", codes: "bundle", alter: editBundle(func(b map[string]any) { b["surprise"] = true })},
	{name: "bundle of a blob", codes: "content", alter: func(w *world) {
		b, err := provenance.SignBlob(w.t.Context(), w.fixture.Builder, w.read(release.ManifestFile))
		w.check(err)
		data, err := b.Encode()
		w.check(err)
		w.write(bundleOf(w.fixture.Builder), data)
	}},
	{name: "bundle of another payload type", codes: "payload-type", alter: func(w *world) { w.bundle(w.fixture.Builder, "release", "application/json", w.statement()) }},
	{name: "bundle about an unknown statement", codes: "bundle-unknown", alter: func(w *world) {
		w.bundle(w.fixture.Builder, "", provenance.PayloadType, replaced(w.t, w.statement(), `"version":"1.0.0"`, `"version":"1.0.9"`))
	}},
	{name: "bundle with the statement written in another way", codes: "bundle-unknown", alter: func(w *world) {
		w.bundle(w.fixture.Builder, "release", provenance.PayloadType, append(w.statement(), '\n'))
	}},
	{name: "bundle replayed from an older release", codes: "bundle-unknown", alter: func(w *world) {
		older := newWorld(w.t, releasetest.Options{Version: "0.9.0"})
		w.copyFrom(older, bundleOf(w.fixture.Builder), bundleOf(w.fixture.Rebuilder))
	}},
	{name: "bundle under the name of another statement", codes: "bundle-name", alter: func(w *world) {
		w.rename(bundleOf(w.fixture.Builder), "bundles/0000000000000000-0000000000000000.sigstore.json")
	}},
	{name: "bundle under no name of a bundle", codes: "bundle-name", alter: func(w *world) { w.rename(bundleOf(w.fixture.Builder), "bundles/mine.sigstore.json") }},

	// Signatures
	{name: "all signatures stripped", codes: "builder-threshold", alter: func(w *world) {
		w.check(os.RemoveAll(w.path(release.BundlesFolder)))
		w.check(os.RemoveAll(w.path(release.LogFolder)))
	}},
	{name: "builder's signature stripped", codes: "builder-threshold", alter: func(w *world) { w.remove(bundleOf(w.fixture.Builder)) }},
	{name: "rebuilder's signature stripped", codes: "rebuilder-threshold", alter: func(w *world) { w.remove(bundleOf(w.fixture.Rebuilder)) }},
	{name: "signature altered", codes: "builder-threshold signature", alter: editBundle(func(b map[string]any) {
		signature := b["dsseEnvelope"].(map[string]any)["signatures"].([]any)[0].(map[string]any)
		raw, err := base64.StdEncoding.DecodeString(signature["sig"].(string))
		if err != nil {
			panic(err)
		}
		raw[len(raw)-1] ^= 1
		signature["sig"] = base64.StdEncoding.EncodeToString(raw)
	})},
	{name: "signatures swapped", codes: "builder-threshold key-hint", alter: func(w *world) {
		a, b := w.read(bundleOf(w.fixture.Builder)), w.read(bundleOf(w.fixture.Rebuilder))
		var one, other map[string]any
		w.check(json.Unmarshal(a, &one))
		w.check(json.Unmarshal(b, &other))
		one["dsseEnvelope"] = other["dsseEnvelope"]
		data, err := json.Marshal(one)
		w.check(err)
		w.write(bundleOf(w.fixture.Builder), data)
	}},
	{name: "hint of another key", codes: "builder-threshold key-hint", alter: editBundle(func(b map[string]any) {
		b["verificationMaterial"].(map[string]any)["publicKey"].(map[string]any)["hint"] = base64.StdEncoding.EncodeToString(make([]byte, 32))
	})},
	{name: "signature by a stranger in the builder's place", codes: "builder-threshold signer", alter: func(w *world) {
		w.remove(bundleOf(w.fixture.Builder))
		w.bundle(w.fixture.Stranger, "release", provenance.PayloadType, w.statement())
	}},
	{name: "expired key", codes: "builder-threshold key-time", alter: func(w *world) {
		w.set("builders.identities.0.keys.0.not_after", "2026-11-22T00:00:00Z")
	}},
	{name: "key that is not valid yet", codes: "rebuilder-threshold key-time", alter: func(w *world) {
		w.set("rebuilders.identities.0.keys.0.not_before", "2026-12-01T00:00:00Z")
	}},
	{name: "threshold of three met by two", codes: "threshold", alter: func(w *world) {
		w.set("rebuilders.identities", []any{identity("rebuilder", w.fixture.Rebuilder), identity("third", w.fixture.Stranger)})
		w.set("threshold", 3)
	}},
	{name: "threshold met twice by one signer, the same bundle twice", codes: "threshold repeated", alter: func(w *world) {
		w.set("rebuilders.identities", []any{identity("rebuilder", w.fixture.Rebuilder), identity("third", w.fixture.Stranger)})
		w.set("threshold", 3)
		w.write("bundles/release-0000000000000000.sigstore.json", w.read(bundleOf(w.fixture.Rebuilder)))
	}},
	{name: "threshold met twice by one signer with two keys", codes: "rebuilder-threshold repeated", alter: func(w *world) {
		second, err := releasetest.NewSigner()
		w.check(err)
		w.set("rebuilders", map[string]any{"threshold": 2, "identities": []any{identity("rebuilder", w.fixture.Rebuilder, second), identity("third", w.fixture.Stranger)}})
		w.set("threshold", 3)
		w.relayout(never, of(w.fixture.Builder), of(w.fixture.Rebuilder, second), w.fixture.Owner)
		w.bundle(second, "release", provenance.PayloadType, w.statement())
		w.link(second, release.RebuildStep, w.release())
	}},
	{name: "signer without a link", codes: "rebuilder-threshold signer-link", alter: func(w *world) {
		w.set("rebuilders", map[string]any{"threshold": 2, "identities": []any{identity("rebuilder", w.fixture.Rebuilder), identity("third", w.fixture.Stranger)}})
		w.set("threshold", 3)
		w.bundle(w.fixture.Stranger, "release", provenance.PayloadType, w.statement())
	}},
	{name: "statement without a builder's signature", codes: "statement-unsigned", alter: func(w *world) {
		sum := provenance.DigestOf(w.read(built))
		w.remove(w.one(release.BundlesFolder, sum.String()[7:23]))
	}},
	{name: "statement signed by the rebuilder alone", codes: "statement-unsigned signer", alter: func(w *world) {
		sum := provenance.DigestOf(w.read(values))
		w.remove(w.one(release.BundlesFolder, sum.String()[7:23]))
		w.bundle(w.fixture.Rebuilder, "", provenance.PayloadType, w.read(values))
	}},

	{name: "statements signed with a key that a new layout does not have", codes: "statement-unsigned signer-link", alter: func(w *world) {
		second, err := releasetest.NewSigner()
		w.check(err)
		w.set("builders.identities.0", identity("builder", w.fixture.Builder, second))
		w.relayout(never, of(second), of(w.fixture.Rebuilder), w.fixture.Owner)
		w.remove(bundleOf(w.fixture.Builder))
		w.remove(w.one(release.LinksFolder, "build."))
		w.link(second, release.BuildStep, w.release())
		rebuilder, err := provenance.ParseBundle(w.read(bundleOf(w.fixture.Rebuilder)))
		w.check(err)
		w.enter(rebuilder, w.bundle(second, "release", provenance.PayloadType, w.statement()))
	}},

	// Layout and links
	{name: "layout expired", codes: "layout-expired", alter: func(w *world) {
		w.relayout(verifiedAt.Add(-time.Second), of(w.fixture.Builder), of(w.fixture.Rebuilder), w.fixture.Owner)
	}},
	{name: "layout by a stranger", codes: "layout-signature", alter: func(w *world) {
		w.relayout(never, of(w.fixture.Builder), of(w.fixture.Rebuilder), w.fixture.Stranger)
	}},
	{name: "layout by one of two owners", codes: "layout-signature", alter: func(w *world) {
		w.set("layout.owners", []any{map[string]any{"pem": string(w.fixture.Owner.Key().PEM())}, map[string]any{"pem": string(w.fixture.Stranger.Key().PEM())}})
		w.set("layout.threshold", 2)
	}},
	{name: "layout with an inspection", codes: "layout-inspection", alter: func(w *world) {
		e, err := provenance.ParseEnvelope(w.beside["layout.json"])
		w.check(err)
		e.Payload = replaced(w.t, e.Payload, `"inspect":[]`, `"inspect":[{"_type":"inspection","name":"i","run":["true"],"expected_materials":[],"expected_products":[]}]`)
		e.Signatures = nil
		w.check(e.Sign(w.t.Context(), w.fixture.Owner))
		w.beside["layout.json"], err = json.Marshal(e)
		w.check(err)
	}},
	{name: "layout altered", codes: "layout-signature", alter: func(w *world) {
		e, err := provenance.ParseEnvelope(w.beside["layout.json"])
		w.check(err)
		e.Payload = replaced(w.t, e.Payload, "2100", "2199")
		w.beside["layout.json"], err = json.Marshal(e)
		w.check(err)
	}, like: "layout by a stranger"},
	{name: "layout that is none", codes: "layout-envelope", alter: func(w *world) { w.beside["layout.json"] = []byte("{}") }},
	{name: "layout without a step for rebuilders", codes: "layout-step", alter: func(w *world) {
		l, err := layout.New(never, "", layout.Step{Name: release.BuildStep, Who: of(w.fixture.Builder), Threshold: 1, Materials: [][]string{{"ALLOW", "*"}, {"DISALLOW", "*"}}, Products: [][]string{{"ALLOW", "*"}, {"DISALLOW", "*"}}})
		w.check(err)
		w.beside["layout.json"], err = layout.SignLayout(w.t.Context(), l, w.fixture.Owner)
		w.check(err)
	}},
	{name: "layout with a step more", codes: "layout-step", alter: func(w *world) {
		allow := [][]string{{"ALLOW", "*"}, {"DISALLOW", "*"}}
		third, err := releasetest.NewSigner()
		w.check(err)
		l, err := layout.New(never, "", layout.Step{Name: release.BuildStep, Who: of(w.fixture.Builder), Threshold: 1, Materials: allow, Products: allow},
			layout.Step{Name: release.RebuildStep, Who: of(w.fixture.Rebuilder), Threshold: 1, Materials: allow, Products: allow},
			layout.Step{Name: "inspect", Who: of(third), Threshold: 1, Materials: allow, Products: allow})
		w.check(err)
		w.beside["layout.json"], err = layout.SignLayout(w.t.Context(), l, w.fixture.Owner)
		w.check(err)
		data, err := layout.SignLink(w.t.Context(), layout.NewLink("inspect", nil, nil), third)
		w.check(err)
		w.write("links/inspect.00000000.link", data)
	}},
	{name: "link missing", codes: "link-threshold", alter: func(w *world) { w.remove(w.one(release.LinksFolder, "rebuild.")) }},
	{name: "link altered", codes: "link-threshold", alter: func(w *world) {
		name := w.one(release.LinksFolder, "build.")
		e, err := provenance.ParseEnvelope(w.read(name))
		w.check(err)
		e.Payload = append(e.Payload, ' ')
		data, err := json.Marshal(e)
		w.check(err)
		w.write(name, data)
	}},
	{name: "link by one who may not", codes: "link-threshold", alter: func(w *world) {
		w.remove(w.one(release.LinksFolder, "build."))
		w.link(w.fixture.Stranger, release.BuildStep, w.release())
	}},
	{name: "builder as the rebuilder", codes: "link-step", alter: func(w *world) {
		w.remove(w.one(release.LinksFolder, "rebuild."))
		w.link(w.fixture.Builder, release.RebuildStep, w.release())
	}},
	{name: "rebuild that made something else", codes: "link-artifacts", alter: func(w *world) {
		relink(w, w.fixture.Rebuilder, release.RebuildStep, func(_, products map[string]provenance.Digest) {
			products["images/finance-agent"] = provenance.Digest{1}
		})
	}},
	{name: "build and rebuild of another image", codes: "link-products", alter: func(w *world) {
		for _, by := range []struct {
			signer provenance.Signer
			step   string
		}{{w.fixture.Builder, release.BuildStep}, {w.fixture.Rebuilder, release.RebuildStep}} {
			relink(w, by.signer, by.step, func(_, products map[string]provenance.Digest) {
				products["images/finance-agent"] = provenance.Digest{1}
			})
		}
	}},
	{name: "build and rebuild of other source", codes: "link-materials", alter: func(w *world) {
		for _, by := range []struct {
			signer provenance.Signer
			step   string
		}{{w.fixture.Builder, release.BuildStep}, {w.fixture.Rebuilder, release.RebuildStep}} {
			relink(w, by.signer, by.step, func(materials, _ map[string]provenance.Digest) {
				materials[release.SourceMaterial] = provenance.Digest{1}
			})
		}
	}},
	{name: "links replayed from an older release", codes: "link-products", alter: func(w *world) {
		older := newWorld(w.t, releasetest.Options{Version: "0.9.0"})
		w.copyFrom(older, w.one(release.LinksFolder, "build."), w.one(release.LinksFolder, "rebuild."))
	}},
	{name: "link under no name of a link", codes: "link-name", alter: func(w *world) { w.rename(w.one(release.LinksFolder, "build."), "links/build.link") }},
	{name: "key revoked by the policy", codes: "link-revoked", alter: func(w *world) {
		w.set("revoked_keys", []any{w.fixture.Rebuilder.Key().Fingerprint().String()})
	}},
	{name: "key revoked by the policy, link taken away", codes: "link-threshold", alter: func(w *world) {
		w.set("revoked_keys", []any{w.fixture.Builder.Key().Fingerprint().String()})
		w.remove(w.one(release.LinksFolder, "build."))
	}},
	{name: "key revoked by the policy, another rebuilder in its place", codes: "rebuilder-threshold key-revoked", alter: func(w *world) {
		w.set("revoked_keys", []any{w.fixture.Rebuilder.Key().Fingerprint().String()})
		w.set("rebuilders.identities", []any{identity("rebuilder", w.fixture.Rebuilder), identity("third", w.fixture.Stranger)})
		w.relayout(never, of(w.fixture.Builder), of(w.fixture.Rebuilder, w.fixture.Stranger), w.fixture.Owner)
		w.remove(w.one(release.LinksFolder, "rebuild."))
		w.link(w.fixture.Stranger, release.RebuildStep, w.release())
	}},
	{name: "key revoked by a new layout", codes: "link-threshold", alter: func(w *world) {
		w.relayout(never, of(w.fixture.Builder), of(w.fixture.Stranger), w.fixture.Owner)
	}},

	// Log
	{name: "proof of the log stripped", codes: "log-missing", alter: func(w *world) { w.check(os.RemoveAll(w.path(release.LogFolder))) }},
	{name: "log has but one of the signatures", codes: "log-missing", alter: func(w *world) {
		b, err := provenance.ParseBundle(w.read(bundleOf(w.fixture.Builder)))
		w.check(err)
		w.enter(b)
	}},
	{name: "log has a signature that only says that it is the builder's", codes: "log-missing", alter: func(w *world) {
		forged, err := provenance.ParseBundle(w.read(bundleOf(w.fixture.Builder)))
		w.check(err)
		forged.Envelope.Signatures[0].Bytes, err = w.fixture.Stranger.Sign(w.t.Context(), provenance.PAE(forged.Envelope.PayloadType, forged.Envelope.Payload))
		w.check(err)
		data, err := forged.Encode()
		w.check(err)
		w.write(path.Join(release.BundlesFolder, "release-0000000000000000.sigstore.json"), data)
		rebuilt, err := provenance.ParseBundle(w.read(bundleOf(w.fixture.Rebuilder)))
		w.check(err)
		w.enter(forged, rebuilt)
	}},
	{name: "log entry of another artifact", codes: "log-entry", alter: func(w *world) {
		older := newUnsigned(w.t, releasetest.Options{Version: "0.9.0"})
		older.log = w.log
		older.vouch()
		w.copyFrom(older, w.proofFile())
	}},
	{name: "log entry of another digest", codes: "log-entry", alter: editEntry(func(_ *world, e *transparency.Entry) { e.Release[0] ^= 1 })},
	{name: "log entry of another statement", codes: "log-entry", alter: editEntry(func(_ *world, e *transparency.Entry) { e.Statement[0] ^= 1 })},
	{name: "log entry of another name", codes: "log-entry", alter: editEntry(func(_ *world, e *transparency.Entry) { e.Name = "other" })},
	{name: "log entry of another version", codes: "log-entry", alter: editEntry(func(_ *world, e *transparency.Entry) { e.Version = "1.0.1" })},
	{name: "log entry with another signature", codes: "log-entry", alter: editEntry(func(_ *world, e *transparency.Entry) { e.Signatures[0].Signature[0] ^= 1 })},
	{name: "log entry with another key", codes: "log-entry", alter: editEntry(func(_ *world, e *transparency.Entry) { e.Signatures[1].Key = provenance.Fingerprint{0xff, 0xff} })},
	{name: "log entry that is not in the tree", codes: "log-inclusion", alter: editProof(func(_ *world, p *transparency.Proof) { p.Hashes[0][0] ^= 1 })},
	{name: "log entry at another place", codes: "log-inclusion", alter: editProof(func(_ *world, p *transparency.Proof) { p.Index = 0 })},
	{name: "checkpoint by an unknown key", codes: "log-key", alter: editProof(func(w *world, p *transparency.Proof) {
		stranger, err := transparency.NewLogSigner(logOrigin, logKeys()[2])
		w.check(err)
		p.Checkpoint = w.log.sign(stranger, int64(len(w.log.entries)))
	})},
	{name: "checkpoint altered", codes: "log-signature", alter: editProof(func(w *world, p *transparency.Proof) { p.Checkpoint = replaced(w.t, p.Checkpoint, "\n6\n", "\n7\n") })},
	{name: "checkpoint of another log", codes: "log-missing log-origin", alter: editProof(func(w *world, p *transparency.Proof) {
		p.Checkpoint = replaced(w.t, p.Checkpoint, logOrigin+"\n", "other.example/log\n")
	})},
	{name: "witness missing", codes: "log-witness", alter: func(w *world) { w.log.unwitnessed = true; w.vouch() }},
	{name: "witness counted twice", codes: "log-witness", alter: func(w *world) {
		other, err := transparency.NewWitnessSigner("other.example", logKeys()[3])
		w.check(err)
		w.set("logs.logs.0.witnesses", []any{map[string]any{"name": "a", "key": w.log.witness.Key()}, map[string]any{"name": "b", "key": other.Key()}})
		w.set("logs.logs.0.witness_threshold", 2)
		editProof(func(w *world, p *transparency.Proof) {
			line, err := w.log.witness.Cosign(p.Checkpoint, verifiedAt.Add(time.Second))
			w.check(err)
			p.Checkpoint = append(p.Checkpoint, line...)
		})(w)
	}},
	{name: "witness's cosignature altered", codes: "log-witness", alter: editProof(func(w *world, p *transparency.Proof) {
		at := len(p.Checkpoint) - 20
		if p.Checkpoint[at] == 'A' {
			p.Checkpoint[at] = 'B'
		} else {
			p.Checkpoint[at] = 'A'
		}
	})},
	{name: "proof that is none", codes: "log-proof", alter: func(w *world) { w.write(w.proofFile(), []byte("hello")) }},
	{name: "proof without its entry", codes: "log-entry", alter: editProof(func(_ *world, p *transparency.Proof) { p.Entry = nil })},
	{name: "extra proof of another artifact", codes: "log-entry", alter: func(w *world) { w.write("log/extra.tlog-proof", w.log.proof(0)) }},
	{name: "unknown file in log", codes: "log-name", alter: func(w *world) { w.write("log/extra.bin", []byte("x")) }},
	{name: "two logs required, one there", codes: "log-missing", alter: func(w *world) {
		second, err := transparency.NewLogSigner("second.example/log", logKeys()[2])
		w.check(err)
		logs := w.policy["logs"].(map[string]any)
		logs["logs"] = append(logs["logs"].([]any), map[string]any{"origin": second.Name(), "key": second.Key(), "witnesses": []any{}, "witness_threshold": 0})
		logs["required"] = 2
	}},
	{name: "forked log", codes: "log-consistency", alter: func(w *world) {
		first := newWorld(w.t)
		w.log = newLog(w.t, 2)
		w.vouch()
		remember(w, first)
	}},
	{name: "truncated log", codes: "log-truncated", alter: func(w *world) {
		remember(w, w)
		shorter := newLog(w.t, 1)
		w.options.Logs = []transparency.Reader{shorter}
	}},
	{name: "log whose current head forks from the release's", codes: "log-consistency", alter: func(w *world) {
		fork := newLog(w.t, 2)
		fork.add([]byte("more"))
		w.options.Logs = []transparency.Reader{fork}
	}},
	{name: "log that the policy does not have, asked for its head", codes: "log-origin", alter: func(w *world) {
		w.options.Logs = []transparency.Reader{foreignLog{newLog(w.t, 3)}}
	}},
	{name: "log whose tiles are not its tree", codes: "log-tile", alter: func(w *world) {
		w.log.add([]byte("more"))
		broken := *w.log
		broken.leaves = append([]tlog.Hash{}, w.log.leaves...)
		broken.leaves[1][0] ^= 1
		w.options.Logs = []transparency.Reader{&broken}
	}},

	// Memory
	{name: "older release, rollback", codes: "rollback", alter: func(w *world) {
		newer := newUnsigned(w.t, releasetest.Options{Version: "1.0.1"})
		newer.log = w.log
		newer.vouch()
		remember(w, newer)
		w.write("log/"+strings.Repeat("0", 16)+release.ConsistencySuffix, w.log.consistency(6))
	}},
	{name: "another release of the same version", codes: "version-twice", alter: func(w *world) {
		first := newWorld(w.t)
		w.log = first.log
		w.remake(func(r *release.Release) { r.Created = r.Created.Add(time.Second) })
		w.write("log/"+strings.Repeat("0", 16)+release.ConsistencySuffix, w.log.consistency(6))
		remember(w, first)
	}},
	{name: "clock set back", codes: "clock-back", alter: func(w *world) {
		remember(w, w)
		w.options.At = verifiedAt.Add(-release.MaxSkew - time.Second)
	}},
}

// TestTamper alters a release that verifies in every way that matters; each is refused for its own reason.
func TestTamper(t *testing.T) {
	reasons := make(map[string]string)
	names := make(map[string]bool)
	for _, tt := range tamperings {
		if names[tt.name] {
			t.Errorf("%s stands twice", tt.name)
		}
		names[tt.name] = true
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			tt.alter(w)
			r := w.verify()
			if r.Accepted || r.Refusal == nil {
				t.Fatal("accepted")
			}
			c := failed(r)
			if got := strings.Join(refusals(c), " "); got != tt.codes {
				t.Errorf("codes are %q, want %q: %s: %v", got, tt.codes, c.Check, c.Refusals)
			}
			if *r.Refusal != c.Refusals[0] {
				t.Errorf("decided by %v, want the first refusal of the first check that failed, %v", *r.Refusal, c.Refusals[0])
			}
			var all []string
			for _, refusal := range c.Refusals {
				all = append(all, refusal.Reason)
			}
			text := strings.Join(all, "\n")
			if other, twice := reasons[text]; twice && other != tt.like {
				t.Errorf("refused for the same reason as %q: %s", other, text)
			}
			reasons[text] = tt.name
			t.Logf("%s | %s: %s", tt.codes, c.Check, text)
		})
	}
	t.Logf("%d ways", len(tamperings))
}

// foreignLog calls itself by another name.
type foreignLog struct{ *testLog }

func (l foreignLog) Checkpoint(ctx context.Context) ([]byte, error) {
	head, err := l.testLog.Checkpoint(ctx)
	return append([]byte("x"), head...), err
}

func digestOf(data []byte) provenance.Digest { return provenance.DigestOf(data) }
