// Package gpt writes and reads GUID partition tables (UEFI 2.10 section 5.3) on disks with sectors of 512 bytes, as sgdisk of gptfdisk
// 1.0 writes them: a protective MBR, 128 entries of 128 bytes at sector 2, and the backup at the end.
//
// All GUIDs are given: a table made of random ones is another one each time. [Layout] places partitions as dstack's images have them.
package gpt
