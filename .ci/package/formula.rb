# Homebrew: put this into a tap's Formula directory once the release is published.
class Agentproxy < Formula
  desc "Run commands so that their HTTPS works behind a proxy that re-terminates TLS"
  homepage "https://github.com/agentproxy/agentproxy"
  version "{{.Version}}"
  license "Apache-2.0"

  on_macos do
    on_arm do
      url "https://github.com/agentproxy/agentproxy/releases/download/v{{.Version}}/agentproxy-{{.Version}}-darwin-arm64"
      sha256 "{{.Sums.darwin_arm64}}"
    end
    on_intel do
      url "https://github.com/agentproxy/agentproxy/releases/download/v{{.Version}}/agentproxy-{{.Version}}-darwin-amd64"
      sha256 "{{.Sums.darwin_amd64}}"
    end
  end
  on_linux do
    on_arm do
      url "https://github.com/agentproxy/agentproxy/releases/download/v{{.Version}}/agentproxy-{{.Version}}-linux-arm64"
      sha256 "{{.Sums.linux_arm64}}"
    end
    on_intel do
      url "https://github.com/agentproxy/agentproxy/releases/download/v{{.Version}}/agentproxy-{{.Version}}-linux-amd64"
      sha256 "{{.Sums.linux_amd64}}"
    end
  end

  def install
    bin.install Dir["agentproxy-*"].first => "agentproxy"
    generate_completions_from_executable(bin/"agentproxy", "completion")
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/agentproxy version")
  end
end
