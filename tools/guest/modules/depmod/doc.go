// Package depmod writes modules.dep for some modules of a kernel, from what is in the modules' files, as depmod(8) does for all: a
// distribution's package has no such file, because it is made when the package is installed. It also unpacks compressed modules, so that
// the guest does not have to; the signature, which is appended to the module, stays.
package depmod
