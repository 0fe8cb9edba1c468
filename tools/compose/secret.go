package compose

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// words that make a variable's name that of a secret, unless PUBLIC stands beside them.
var secretWords = []string{"KEY", "KEYS", "SECRET", "SECRETS", "TOKEN", "TOKENS", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS", "PRIVATE", "APIKEY"}

// namesSecret says whether a variable of this name holds a secret.
func namesSecret(name string) bool {
	words := strings.FieldsFunc(strings.ToUpper(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return !slices.Contains(words, "PUBLIC") && slices.ContainsFunc(words, func(w string) bool { return slices.Contains(secretWords, w) })
}

var (
	// issuedTokens begin like keys that OpenAI, GitHub, GitLab, Amazon, Slack, Hugging Face and Google issue, or like a JWT.
	issuedTokens = regexp.MustCompile(`(?:^|[^A-Za-z0-9])(?:sk-|ghp_|gho_|ghs_|github_pat_|glpat-|AKIA|ASIA|xox[abp]-|hf_|AIza|eyJ)[A-Za-z0-9_\-.]{16,}`)
	hexRun       = regexp.MustCompile(`[0-9a-fA-F]{32,}`)
	base64Run    = regexp.MustCompile(`[A-Za-z0-9+/_-]{40,}={0,2}`)
	userInfo     = regexp.MustCompile(`://[^/@\s]*:[^/@\s]*@`)
)

// looksSecret says what a text looks like, if it looks like a secret. It errs on the side of refusing: a fact that looks like
// this can be given at deployment.
func looksSecret(text string) (what string, yes bool) {
	switch {
	case strings.Contains(text, "-----BEGIN"):
		return "a PEM block", true
	case issuedTokens.MatchString(text):
		return "an access token", true
	case userInfo.MatchString(text):
		return "an address with a password in it", true
	case hexRun.MatchString(text):
		return "a key in hex", true
	case slices.ContainsFunc(base64Run.FindAllString(text, -1), mixed):
		return "a key in base64", true
	}
	return "", false
}

// mixed tells random base64 from long words and paths: of 40 random characters, at least 3 of each class are there but for one
// case in a thousand.
func mixed(run string) bool {
	var upper, lower, digit int
	for _, r := range run {
		switch {
		case unicode.IsUpper(r):
			upper++
		case unicode.IsLower(r):
			lower++
		case unicode.IsDigit(r):
			digit++
		}
	}
	return min(upper, lower, digit) >= 3
}
