// Shell commands of OpenCode run through agentproxy, as long as its script is there.
// This file belongs in ~/.config/opencode/plugins; "agentproxy hook" puts it there and takes it out.
import { existsSync } from "node:fs";

const prefix = "'" + script.replaceAll("'", "'\\''") + "' ";
const quote = (text) => "'" + text.replaceAll("'", "'\\''") + "'";

export const Agentproxy = async () => ({
  "tool.execute.before": async (call, { args }) => {
    if (call.tool === "bash" && existsSync(script) && !args.command.startsWith(prefix)) {
      args.command = prefix + quote(args.command);
    }
  },
});
