package profiles

// Inner says where, in the arguments of a command that runs another, that
// other one is.
type Inner struct {
	// After are the subcommands that run something: exec in "bundle exec rake".
	// Without one there is no inner command. Empty when the first argument is
	// the command.
	After []string `toml:"after"`
	// Flags are those whose value is the next argument.
	Flags []string `toml:"flags"`
	// Assignments are allowed before the command, as after env and sudo.
	Assignments bool `toml:"assignments"`
	// Skip is how many arguments come before the command, as after timeout.
	Skip int `toml:"skip"`
	// Shell is the letter of the flag whose argument is shell text: "c".
	Shell string `toml:"shell"`
	// Module is the flag whose argument is a program's name: -m of Python.
	Module string `toml:"module"`
	// Script is true when the first argument is a file of shell commands.
	Script bool `toml:"script"`
	// Exec are the flags that a command follows each, up to ";" or "+": -exec of
	// find. Without one there is no inner command.
	Exec []string `toml:"exec"`
	// Default is the command when there is none in the arguments.
	Default string `toml:"default"`
}
