package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
)

// The scripts ask the program itself: cli v2 prints the candidates when --generate-bash-completion is the last word
// (docs/v2/examples/bash-completions.md of urfave/cli).
var completions = map[string]string{
	"bash": `_boardroom() {
  local words=("${COMP_WORDS[@]:0:COMP_CWORD}") current=${COMP_WORDS[COMP_CWORD]}
  if [[ $current == -* ]]; then words+=("$current"); fi
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$current"))
}
complete -o default -F _boardroom boardroom
`,
	"zsh": `#compdef boardroom
_boardroom() {
  local -a candidates
  candidates=("${(@f)$("${words[@]:0:#words[@]-1}" --generate-bash-completion 2>/dev/null)}")
  _describe 'boardroom' candidates || _files
}
compdef _boardroom boardroom
`,
	"fish": `complete -c boardroom -f -a '(eval (commandline -opc) --generate-bash-completion 2>/dev/null)'
`,
}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a completion script for bash, zsh or fish",
		ArgsUsage: "SHELL",
		Action: func(c *cli.Context) error {
			if err := cmdline.Args(c, "SHELL"); err != nil {
				return err
			}
			script, ok := completions[c.Args().First()]
			if !ok {
				return cmdline.Usage(fmt.Errorf("expected bash, zsh or fish, got %q", c.Args().First()))
			}
			_, err := fmt.Fprint(c.App.Writer, script)
			return err
		},
	}
}
