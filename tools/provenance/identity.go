package provenance

import "crypto/x509"

// IdentityOf reads whom a certificate names. Nothing about who issued it was checked.
func IdentityOf(c *x509.Certificate) (CertificateIdentity, error) { return identityOf(c) }
