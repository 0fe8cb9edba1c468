package gobuild

// Proxies is the GOPROXY list that modules are fetched from: the user's.
func (b *Builder) Proxies() string { return b.proxies }

// FetchFrom takes modules from another list: from a folder on a machine without a network, for one. Every module is compared with go.sum all
// the same.
func (b *Builder) FetchFrom(proxies string) { b.proxies = proxies }
