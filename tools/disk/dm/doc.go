// Package dm opens dm-verity devices through the kernel's device mapper (Linux, include/uapi/linux/dm-ioctl.h and
// Documentation/admin-guide/device-mapper/verity.rst), as veritysetup does, for an init that has no other program. It needs Linux, root,
// the modules dm_mod and dm_verity in the kernel, and devtmpfs on /dev.
package dm
