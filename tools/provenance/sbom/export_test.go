package sbom

// Modules are the components of a program's build information.
var Modules = modules
