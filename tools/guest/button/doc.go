// Package button waits for the power button of the machine, which is how a hypervisor asks a guest to end: ACPI's fixed button or one of its
// device PNP0C0C (ACPI 6.5 section 4.8.3.1), which Linux shows as an input device (drivers/acpi/button.c, include/uapi/linux/input.h).
package button
