package modules

import "slices"

// Initramfs are the modules that lead to the root file system: the disks that dstack-vmm gives a guest, dm-verity and squashfs.
func Initramfs() []string { return []string{"virtio_blk", "dm_verity", "squashfs"} }

// Root are the modules that every guest loads from its root file system.
func Root() []string {
	return slices.Concat(
		// Network, and the host's share as a 9p file system or as a FAT disk, whose names Linux reads with these two tables.
		[]string{"virtio_net", "9pnet_virtio", "9p", "vfat", "nls_cp437", "nls_ascii"},
		// The host's questions, and its power button.
		[]string{"vmw_vsock_virtio_transport", "button", "evdev"},
		// What containerd, dockerd and runc use. dockerd's rules are those of iptables over nftables, where nft_compat takes the xt_ modules.
		[]string{
			"overlay", "veth", "bridge", "br_netfilter", "nf_tables", "nft_compat", "nft_chain_nat", "nf_nat", "nf_conntrack", "nf_conntrack_netlink",
			"xt_addrtype", "xt_comment", "xt_conntrack", "xt_mark", "xt_MASQUERADE", "xt_nat", "xt_REDIRECT", "xt_tcpudp", "xt_multiport",
		},
	)
}

// TDX are the modules by which a TD makes quotes, and Simulated those from which the simulated TEE learns what QEMU says.
func TDX() []string       { return []string{"configfs", "tdx_guest"} }
func Simulated() []string { return []string{"qemu_fw_cfg"} }
