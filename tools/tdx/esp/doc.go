// Package esp reads what UEFI firmware starts from a disk: the GUID partition table, which is measured, and the file
// \EFI\BOOT\BOOTX64.EFI of the one partition with a FAT file system that has it. It is the place for removable media, and for disks
// about which the firmware has no variables (UEFI 2.10 sections 3.5.1.1, 5.3 and 13.3; Microsoft's FAT specification 1.03).
//
// A disk on which firmware could choose, because two partitions have that file, is refused, and so is a partition table whose
// checksums are wrong: firmware would take the backup at the end of the disk.
package esp
