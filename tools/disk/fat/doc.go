// Package fat writes an EFI system partition: a FAT32 file system (Microsoft's FAT specification 1.03; UEFI 2.10 section 13.3) with
// what a tree has. Its label, serial number and time are given, clusters are handed out in the order of the tree, and nothing that is
// free has bytes of what was there before.
//
// Names are the short ones of FAT, in upper case: firmware does not tell cases apart, and looks for nothing else.
package fat
