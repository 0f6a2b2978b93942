FROM d
RUN	npm ci
run   --mount=type=cache,target=/x	--network=none   npm ci
  RUN	<<EOF
 EOF
RUN no
EOF
RUN <<EOF

# kept

EOF
RUN ["cat", "<<EOF"]
RUN [ "cat", "<<EOF"
COPY --from=a <<EOF /x
FROM no
EOF
ADD <<A <<B /x/
A
B
A
B
ONBUILD RUN <<EOF
RUN no
EOF
ENV X=<<EOF
LABEL a="<<EOF"
CMD cat <<EOF
ENTRYPOINT ["x"]
RUN npm ci