package profiles

// Container says how the command line of an engine for containers reads, so
// that what runs inside can be given the tunnel and its roots.
type Container struct {
	// Run and Build are the subcommands, of a word or more, that start a
	// container and that make an image from a Dockerfile.
	Run   []string `toml:"run"`
	Build []string `toml:"build"`
	// Switches are the engine's flags that take no value, RunSwitches and
	// BuildSwitches those of the subcommands.
	Switches      []string `toml:"switches"`
	RunSwitches   []string `toml:"run_switches"`
	BuildSwitches []string `toml:"build_switches"`
	// Network are flags by which a user gives a container a network of its own.
	Network []string `toml:"network"`
	// Hosts are the flags and variables that hold an engine's address, Contexts
	// those that name one which the configuration in the directory Config knows.
	// Socket is where the engine is when none is given.
	Hosts    []string `toml:"hosts"`
	Contexts []string `toml:"contexts"`
	Config   []string `toml:"config"`
	Socket   string   `toml:"socket"`
	// Builders are the flags and variables that name a builder of buildx, which
	// keeps them in the first directory of BuilderConfig that is known.
	Builders      []string `toml:"builders"`
	BuilderConfig []string `toml:"builder_config"`
	// Dockerfiles are what a build reads where none is named, the first that is
	// there.
	Dockerfiles []string `toml:"dockerfiles"`
	// BuildKit is the variable that switches on and off what lets a step mount
	// files: it is in the versions of Builtin, off at first, else in one of
	// Plugins. Empty where steps always can.
	BuildKit string    `toml:"buildkit"`
	Builtin  Condition `toml:"builtin"`
	Plugins  []string  `toml:"plugins"`
}
