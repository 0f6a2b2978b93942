// Shell commands of OpenCode run through agentproxy. Put this into
// ~/.config/opencode/plugin/agentproxy.js.
const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

export const Agentproxy = async () => ({
  "tool.execute.before": async (call, { args }) => {
    if (call.tool === "bash" && !args.command.startsWith(script + " ")) {
      args.command = script + " " + quote(args.command);
    }
  },
});
