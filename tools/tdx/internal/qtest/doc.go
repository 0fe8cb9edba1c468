// Package qtest runs QEMU without starting its processors and reads, over QEMU's test protocol (docs/devel/testing/qtest.rst
// there), the fw_cfg files that firmware would get. It is how acceptance tests have QEMU itself as their oracle, and it is empty
// without the build tag "acceptance".
//
// The test protocol works with any accelerator, so that a distribution's QEMU will do. Tables describe hardware as firmware has
// set it up, and QEMU rebuilds them when a file is first read: before that, the package does to the chipset what OVMF does.
package qtest
