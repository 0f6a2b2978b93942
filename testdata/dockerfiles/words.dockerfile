FROM d
RUN grep x <<< foo
RUN cat <<<foo
RUN echo $((1<<x))
RUN echo "a <<EOF b" 'c <<EOF d' \<<EOF
RUN echo a<<EOF
RUN 3<<EOF cat
three
EOF
RUN echo "open <<EOF
RUN cat << EOF
blank
EOF
RUN cat <<"A B" <<'C' <<-D
one
A B
two
C
three
		D
RUN cat <<E"O"F <<\EOF
x
EOF
y
EOF
RUN x=${A:-b} cat <<EOF
RUN no
EOF
RUN echo it's <<EOF
RUN npm ci
