# npm installs a package
# needs: node npm
behind npm install --no-save is-number@7.0.0
prints true node -p 'require("is-number")(42)'

agentproxy doctor --online npm >doctor.out || fail "$(<doctor.out)"
says doctor.out "✓ online: $(host "$(npm_registry)"):443"
