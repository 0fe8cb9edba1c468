// Package securetime takes the time from servers that prove who they are, by Network Time Security (RFC 8915): keys are agreed by TLS 1.3, and
// each answer by NTP (RFC 5905) is authenticated with them, by AEAD_AES_SIV_CMAC_256 (RFC 5297). It is what secure_time of an app-compose.json
// asks for; dstack has chrony for it (Dstack-TEE/meta-dstack, meta-dstack/recipes-core/chrony/files/chrony.conf).
//
// The host gives the guest its first clock, and carries every packet, and is trusted for neither. What it can do:
//
//   - Show any date at the start. No decision here takes that clock for true; it only measures how far it is from the servers'. A certificate is
//     held to the time that its server told, after it told it, like chrony does with nocerttimecheck: chain and name are checked twice, first at
//     the moment when the last certificate of the chain became valid, before anything is said to the server, and then at the time that the
//     server's authenticated answer tells. A time at which the chain does not hold is refused.
//   - Show an old chain whose key has leaked, and the time when it was valid. So a majority of the servers, which belong to different operators, has to
//     agree, and no time is before 2026, when this was written. Revocation is not asked for: whoever answers would have to be asked over the same network.
//   - Keep packets back. The time is taken to be the middle of a round trip of at most a second, so that it adds at most half of that
//     to the error that the server has. With no answers the guest does not start.
//
// That the clock runs on evenly between two rounds is the TEE's matter: a trust domain's time stamp counter is not the host's to change.
package securetime
